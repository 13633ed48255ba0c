"""The rules: no network (but one door), no clock and no randomness of their own."""
