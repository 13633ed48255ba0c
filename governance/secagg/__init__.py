"""Secure aggregation: the coordinator learns the sum of updates, and no single one.

Bonawitz et al. 2017 in the variant against an active server, with keys that each hospital's
officer vouched for. Nothing here does I/O, knows a clock or draws randomness by itself.
"""
