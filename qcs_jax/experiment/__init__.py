"""Runs the rows of a table over several seeds, and compares them."""
