"""The modules of normalizations that torch does not have. They need torch; the parts beside them do not."""
