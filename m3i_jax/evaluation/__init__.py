"""Evaluation of frozen encoders: models → features → tasks → results.

Every number is over exactly the rows of the data set, and its name holds its protocol.
"""
