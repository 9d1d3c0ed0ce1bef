"""The figures of a data set shown: in a terminal, as pictures, on a page."""
