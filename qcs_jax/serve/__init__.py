"""A service: a network that is loaded once, and asked over HTTP."""
