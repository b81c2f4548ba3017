"""Runs beside each other: which metrics differ, what was set differently, and where two runs parted."""
