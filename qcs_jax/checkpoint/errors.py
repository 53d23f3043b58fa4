"""What may be wrong with a checkpoint."""

from qcs_jax.system.errors import UserError


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of something else."""


class DamagedError(CheckpointError):
    """A checkpoint cannot be read back as it was saved."""


class NotSavedError(CheckpointError):
    """A checkpoint could not be written, though others may be."""
