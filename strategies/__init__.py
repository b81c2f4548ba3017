"""The base of all strategies, and the reference ones: what to read first."""
