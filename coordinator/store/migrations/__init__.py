"""Alembic's scripts for the coordinator's own tables, in order."""
