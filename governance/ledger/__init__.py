"""The record: an append-only, witnessed log of signed statements, and what follows from it."""
