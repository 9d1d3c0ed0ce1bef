"""Layers: matrix products, norms, transformer blocks, and the sharding of their activations."""
