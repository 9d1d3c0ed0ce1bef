"""What the host makes of an image before it becomes part of a batch."""
