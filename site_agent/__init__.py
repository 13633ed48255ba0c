"""The hospital's program: its agent, its officer's desk, its training; nothing dials in."""
