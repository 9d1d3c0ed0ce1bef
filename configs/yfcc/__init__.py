"""Published recipes on YFCC-15M: images with texts."""
