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
        (("--config=configs/demo.py", "--config.epochs=3"), "no field 'epochs'"),
        (("--config=configs/demo.py", "--mode=test"), "mode"),
        (
            ("--config=configs/demo.py", "--process=0"),
            "--coordinator, --processes and --process belong together",
        ),
        (
            ("--config=demo", "--coordinator=host", "--processes=2", "--process=0"),
            "--coordinator=host: give HOST:PORT",
        ),
        (
            ("--config=demo", "--coordinator=a:1", "--processes=2", "--process=2"),
            "processes are numbered from 0 to 1",
        ),
        (("--config=demo", "--patience=5"), "add --multihost"),
        (("--config=demo", "--multihost", "--patience=0"), "give 1 or more seconds"),
        (("--config=demo", "--multihost"), "no cluster was found"),
        (("--config=demo", "--corruptions"), "--corruptions is for --mode=eval"),
        (("--config=demo", "--groups=a.csv"), "--groups is for --mode=eval"),
        (("--config=demo", "--mode=eval", "--groups="), "--groups= names no file"),
        (
            ("--config=demo", "--mode=eval", "--groups=a.csv"),
            "--groups=a.csv: No such file",
        ),
        (("--config=configs/demo.py", "train"), "unknown argument train"),
        (("--config=configs/raf.py:foo",), "no variant 'foo': give baseline, dcs, qcs"),
        (
            ("--config=configs/demo.py", "--config.data.label_map=by_name"),
            "data.label_map='by_name': is for --mode=eval",
        ),
        (("--config=configs/demo.py", "--config.model.name=vgg"), "baseline, dcs, qcs"),
        (
            ("--config=configs/demo.py", "--config.data.dir=/nonexistent"),
            "python -m qcs_jax.prepare synthetic_faces",
        ),
    ],
    ids=lambda told: "" if isinstance(told, str) else " ".join(told[-1:]) or "nothing",
)
@pytest.mark.parametrize("workdir", [True, False])
def test_mistakes(workdir, arguments, message, tmp_path):
    workdir = (f"--workdir={tmp_path}",) if workdir else ()
    ended = run(*arguments, *workdir)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error: ") == 1
    assert not any(tmp_path.iterdir()), "nothing is written by a run that cannot be"
