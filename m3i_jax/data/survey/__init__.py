"""What is in a data set, looked at before a run: figures, and no picture or page of them."""
