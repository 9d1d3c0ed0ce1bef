"""What is fitted to frozen features: neighbours, linear and attentive heads, and their solvers."""
