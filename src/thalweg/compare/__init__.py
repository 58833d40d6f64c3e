"""Paired comparisons: one network under several plans, on the same seeds and rows."""
