"""The command that classifies image files; in Python, use `qcs_jax.load`."""
