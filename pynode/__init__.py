"""A Python node that a BEAM takes for one of its own."""
