"""Objects that a network finds in images, and how good these are."""
