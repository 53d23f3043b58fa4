"""Compares runs over their seeds, and two networks image by image."""
