"""Generated stubs of version 1."""
