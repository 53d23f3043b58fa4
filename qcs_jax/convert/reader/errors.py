"""What is said when a PyTorch checkpoint cannot be read."""

from qcs_jax.system.errors import UserError

# The remedies of most problems.
DOWNLOAD = "Download or copy the file again"
SAVE = "Save the weights in PyTorch with torch.save(model.state_dict(), path)"


class CheckpointFormatError(UserError):
    """A checkpoint that cannot, or must not, be read."""

    def __init__(self, problem: str, remedy: str = DOWNLOAD) -> None:
        super().__init__(f"{problem}. {remedy}.")
        self.problem, self.remedy = problem, remedy


def shorten(text: str, limit: int = 120) -> str:
    """Returns `text` fit for an error message: cut, and without control characters."""
    return ascii(text[:limit])[1:-1] + ("..." if len(text) > limit else "")
