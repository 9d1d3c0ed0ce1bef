"""Published recipes on ImageNet-1k."""
