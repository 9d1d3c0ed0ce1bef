"""Training: a config, the run that is assembled from it, its step, loop, hooks and session."""
