"""What the command line runs: training or evaluation, with errors a user can act on."""

from __future__ import annotations

import sys

import jax
import ml_collections

from qcs_jax import report
from qcs_jax.system.errors import UserError
from qcs_jax.system.signals import Interrupted
from qcs_jax.train.evaluate import Evaluation, evaluate_run
from qcs_jax.train.loop import train_and_evaluate


def run(
    mode: str, config: ml_collections.ConfigDict, workdir: str, command: str
) -> int:
    """Runs a mode and tells how it ended.

    Args:
      mode: "train" or "eval".
      config: See `config.base_config`.
      workdir: Of the run.
      command: The command line, to suggest the next one.

    Returns:
      Exit status: 0; 1 after an error of the user's, told in one message; 128 plus the
      signal's number after a signal.
    """
    try:
        if mode == "eval":
            evaluation = evaluate_run(config, workdir)
            print(evaluation)
            _report(evaluation, config.data.dir)
        else:
            print(train_and_evaluate(config, workdir))
            print(f"  next              {command} --mode=eval")
    except KeyboardInterrupt:  # in training, the second one
        print("stopped", file=sys.stderr)
        return 130
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return 128 + interrupted.signum
    except (UserError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _report(evaluation: Evaluation, data_dir: str) -> None:
    """Writes the page about an evaluation of a run on its own test split."""
    if not evaluation.own or jax.process_index():
        return
    try:
        from qcs_jax.report import page  # matplotlib and others are an extra

        print(f"  report in {page.write(evaluation.folder, data_dir)}")
    except UserError as error:
        (evaluation.folder / report.FILE).unlink(missing_ok=True)  # of other numbers
        print(f"note: there is no report: {error}")
