"""Fitting a few rows."""
