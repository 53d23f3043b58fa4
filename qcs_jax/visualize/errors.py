"""What the figures of this package raise."""

from qcs_jax.system.errors import UserError


class Unavailable(UserError):
    """A run, or its images, cannot have this figure; others may be drawn."""
