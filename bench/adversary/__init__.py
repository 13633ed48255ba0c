"""Attacks on what leaves: whether a patient was in a training, and what is in their record."""
