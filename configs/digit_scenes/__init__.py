"""Small runs on the embedded data, minutes on two cores: each method, and some of several."""
