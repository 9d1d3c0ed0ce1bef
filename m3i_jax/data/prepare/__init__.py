"""Copies of a data set that a run reads faster: resized, in shards or folders, and sealed."""
