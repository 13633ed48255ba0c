"""Logs to measure by: a federation that signs for real, and as many entries as are wanted."""
