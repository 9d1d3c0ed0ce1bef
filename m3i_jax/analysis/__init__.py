"""Looks inside encoders and runs: pictures, measures, the page of a run."""
