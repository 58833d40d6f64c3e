"""Loss and outputs."""
