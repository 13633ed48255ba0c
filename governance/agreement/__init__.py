"""The agreement: what hospitals consent to, what a change of it asks, and what it means."""
