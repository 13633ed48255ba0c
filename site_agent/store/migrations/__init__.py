"""Alembic's scripts for the site's store, in order."""
