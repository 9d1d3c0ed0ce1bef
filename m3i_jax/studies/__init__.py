"""Sweeps of runs with a table, beside the numbers of a paper."""
