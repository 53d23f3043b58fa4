"""How the commands of this package end, whatever happens in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from qcs_jax.system.errors import UserError


def run(work: Callable[[], object]) -> int:
    """Does the work of a command; what the user can act on is one line.

    Returns:
      Exit status: 0; 1 after an error of the user's; 130 after Ctrl-C; 141 when
      nobody reads the output any longer, as after `| head`.
    """
    try:
        work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python flushes once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
