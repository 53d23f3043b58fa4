"""How good networks are on the test images of other data sets."""
