"""The command line: one clear message for every mistake, and a non-zero exit."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUMPY")}
    return subprocess.run(
        [sys.executable, "-m", "qcs_jax.main", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "the following arguments are required: --config"),
        (("--config=nothing.py",), "there is no file nothing.py"),
        (("--config=demo", "--config.train.epoch=3"), 'mean "epochs" instead of'),
        (("--config=demo", "--config.model.name=vgg"), "from baseline, dcs, qcs"),
        (("--config=demo", "--mode=test"), "invalid choice: 'test'"),
        (("--config=demo", "--multihost", "--patience=0"), "give 1 or more seconds"),
        (("--config=demo", "--multihost"), "no cluster was found"),
        (("--config=demo", "--corruptions"), "--corruptions is for --mode=eval"),
        (("--config=demo", "--groups=a.csv"), "--groups is for --mode=eval"),
        (("--config=demo", "--mode=eval", "--groups="), "--groups= names no file"),
        (
            ("--config=demo", "--mode=eval", "--groups=a.csv"),
            "--groups=a.csv: No such file",
        ),
        (
            ("--config=demo", "--config.data.dir=/nonexistent"),
            "qcs-jax prepare synthetic_faces",
        ),
    ],
    ids=lambda told: "" if isinstance(told, str) else " ".join(told[-1:]) or "nothing",
)
def test_mistakes(arguments, message, tmp_path):
    ended = run(*arguments, f"--workdir={tmp_path}")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr and ended.stderr.count("error: ") == 1
    assert message in ended.stderr.partition("error: ")[2]
    assert not any(tmp_path.iterdir()), "nothing is written by a run that cannot be"
