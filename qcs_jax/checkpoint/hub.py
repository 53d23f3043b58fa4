"""Networks of the Hugging Face Hub: "hf:owner/name", or "hf:owner/name@revision".

A revision is a branch, a tag or a commit; without one it is the newest.

One file of weights is downloaded and kept in the Hub's own cache, which serves it where
there is no connection. Nothing of a repository is ever executed.
"""

from __future__ import annotations

import functools
import os
import pathlib
import re

from qcs_jax.checkpoint.description import CheckpointError
from qcs_jax.system import extras

_PREFIX = "hf:"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def names(path: str | os.PathLike[str]) -> bool:
    """Whether a path means a network of the Hub."""
    return os.fspath(path).startswith(_PREFIX)


@functools.cache  # one revision in one process, and one request
def fetch(path: str, file: str) -> pathlib.Path:
    """Downloads a file of a repository unless the cache has it; returns where it lies.

    Raises:
      CheckpointError: if there is no such repository, revision or file, or no
        connection and nothing in the cache.
      UserError: if huggingface-hub (the extra `hub`) is not installed.
    """
    text = path.removeprefix(_PREFIX)
    match = _NAME.fullmatch(text)
    if not match:
        raise CheckpointError(f"{path}: give hf:OWNER/NAME")
    repository, revision = match.groups()
    with extras.named():
        import huggingface_hub
        from huggingface_hub import errors
    # It tells of every attempt; what is said below says it once.
    huggingface_hub.logging.set_verbosity_error()
    try:
        path = huggingface_hub.hf_hub_download(repository, file, revision=revision)
        return pathlib.Path(path)
    except errors.RevisionNotFoundError:
        problem = f"the Hub's {repository} has no revision {revision}"
    except errors.GatedRepoError:
        problem = f"the Hub's {repository} asks for consent: accept its terms there, "
        problem += "and log in with `hf auth login`"
    except errors.RepositoryNotFoundError:
        problem = f"the Hub has no repository {repository}, or a private one: log in "
        problem += "with `hf auth login`"
    except errors.LocalEntryNotFoundError:
        problem = f"the Hub cannot be reached, and {repository} is not in its cache: "
        problem += "try again when there is a connection"
    except errors.EntryNotFoundError:
        problem = f"the Hub's {repository} has no file {file}: it is not one that "
        problem += "qcs-jax export --format=hub has written"
    except Exception as error:  # of names, of transport: it has no common kind
        first = str(error).strip().partition("\n")[0]
        problem = f"the Hub's {repository} cannot be downloaded: {first}"
    raise CheckpointError(problem) from None
