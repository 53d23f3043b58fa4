"""What is wrong in a configuration on the command line, as one line."""

from __future__ import annotations

import ast
import re

from absl import flags

_TRACEBACK = "Traceback (most recent call last)"


def message(error: Exception) -> str:
    """Says in one line why a configuration could not be read.

    Args:
      error: What absl, ml_collections or the configuration's file raised. The first
        two like to wrap tracebacks and quotation marks around the cause.
    """
    text = str(error).strip()
    if _TRACEBACK in text:  # its last line says what it was
        text = re.sub(r"^[\w.]+: ", "", text.splitlines()[-1])
    while text[:1] in ("'", '"') and text[:1] == text[-1:]:  # as KeyError prints
        text = ast.literal_eval(text).strip()
    text = " ".join(text.split())
    if isinstance(error, KeyError | AttributeError) and re.fullmatch(r"\w+", text):
        return f"there is no field {text!r} to set"
    known = (flags.Error, ValueError, KeyError, AttributeError, TypeError, OSError)
    return text if isinstance(error, known) else f"{type(error).__name__}: {text}"
