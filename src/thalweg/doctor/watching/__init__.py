"""The doctor around a loop of the user's own: what is seen of its steps, and what is concluded from that."""
