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
        ((), "--config"),
        (("--config=configs/nothing.py",), "configs/nothing.py"),
        (
            ("--config=configs/demo.py", "--config.train.epoch=3"),
            """Did you mean "epochs" instead of "epoch"?""",
        ),
        (("--config=configs/demo.py", "--config.train.epochs=three"), "three"),
        (("--config=configs/demo.py", "--mode=test"), "mode"),
        (("--config=configs/demo.py", "--config.model.name=vgg"), "baseline, dcs, qcs"),
        (
            ("--config=configs/demo.py", "--config.data.dir=/nonexistent"),
            "python data/prepare.py synthetic_faces",
        ),
    ],
    ids=["no config", "no file", "typo", "type", "mode", "value", "no data"],
)
@pytest.mark.parametrize("workdir", [True, False])
def test_mistakes(workdir, arguments, message, tmp_path):
    workdir = (f"--workdir={tmp_path}",) if workdir else ()
    ended = run(*arguments, *workdir)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "error: " in ended.stderr
    assert not any(tmp_path.iterdir()), "nothing is written by a run that cannot be"
