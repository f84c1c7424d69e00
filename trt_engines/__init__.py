"""Fetches, prepares and verifies the models, at build or commissioning time; nothing of it runs while the eye looks."""
