"""Measures on test rows with their intervals, and the threshold chosen before them."""
