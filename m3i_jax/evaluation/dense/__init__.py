"""Dense tasks: what a head says of every pixel, how one is trained, how all are judged."""
