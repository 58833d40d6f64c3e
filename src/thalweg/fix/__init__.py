"""Remedies that are proven: tried on paired trainings before they are recommended."""

from thalweg.fix.result import Fix

__all__ = ["Fix"]
