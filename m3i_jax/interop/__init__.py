"""Weights in and out of other libraries' names and layouts."""
