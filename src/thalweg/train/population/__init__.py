"""Populations: K networks trained as one program, each with hyper-parameters, seed and noise of its own."""
