"""Small runs on Fashion-MNIST."""
