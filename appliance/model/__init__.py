"""Frozen data that the rest of the product is made of. Nothing here has behaviour beyond its own checks."""
