"""Builders of the data sets; in a wheel they are `qcs_jax.data`."""
