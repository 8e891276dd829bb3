"""Getting committed events out: how they look, and who is told."""
