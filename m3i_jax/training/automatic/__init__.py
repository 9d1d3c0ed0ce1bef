"""Configs that nobody writes: what is known of images and machine, and what somebody wishes."""
