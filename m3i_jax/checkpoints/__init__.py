"""What is on disk, and how it is trusted: files that survive, sealed steps, weights in them."""
