"""What the command line runs: training or evaluation, with errors a user can act on."""

from __future__ import annotations

import pathlib
import sys

import ml_collections

from qcs_jax import about, checkpoint, evaluate
from qcs_jax.errors import UserError
from qcs_jax.train.interrupt import Interrupted
from qcs_jax.train.loop import train_and_evaluate
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step


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
            _evaluate(config, workdir)
        else:
            print(train_and_evaluate(config, workdir))
            print(f"  next              {command} --mode=eval")
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return 128 + interrupted.signum
    except (UserError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _evaluate(config: ml_collections.ConfigDict, workdir: str) -> None:
    variables, found, step = checkpoint.load_variables(workdir, branch="base")
    this = Run(config, trained_on=found["class_names"])
    fix = (
        "Evaluate with the configuration that it was trained with; to test on a data "
        "set of other classes, set data.label_map."
    )
    about.check_same_network(workdir, found, this.description, fix=fix)
    counts = this.test(make_eval_step(this.model), variables)
    path = pathlib.Path(workdir)
    for note in this.notes:
        print(f"note: {note}")
    print(
        f"{path}, step {step}, on {len(this.test_source)} images of split "
        f"{this.test_source.split!r} of {this.test_source.name}:"
    )
    print(evaluate.table(counts, this.class_names))
