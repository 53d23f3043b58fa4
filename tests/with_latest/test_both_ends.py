"""The oldest and the newest releases that the project takes go on with each other's."""

import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from fleet import command_line, environment, newest_items, told

import qcs_jax

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
LATEST = ROOT / ".venv-latest/bin/python"  # of `make latest`
if not LATEST.exists() or LATEST.is_relative_to(sys.prefix):
    pytest.skip("needs .venv and .venv-latest: make latest", allow_module_level=True)

ENDS = {"oldest": pathlib.Path(sys.executable), "newest": LATEST}
OTHER = {"oldest": "newest", "newest": "oldest"}


def python(end, *arguments):
    """Runs one of the two, warnings being errors; returns what it prints."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/support")])
    done = subprocess.run(
        [ENDS[end], "-W", "error", *arguments],
        env=environment() | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def train(end, workdir):
    return python(end, *command_line(workdir, "qcs")[1:])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of two epochs at each end, which nothing stopped."""
    folder = tmp_path_factory.mktemp("runs")
    for end in ENDS:
        train(end, folder / end)
    return folder


def assert_close(one, other):
    """Two logs and two last states: the same to rounding, step after step."""
    for line, expected in zip(told(one), told(other), strict=True):
        assert line.keys() == expected.keys()
        for name, value in expected.items():
            same = pytest.approx(value, 1e-4) if isinstance(value, float) else value
            assert line[name] == same, (name, line, expected)

    def near(actual, expected):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)

    jax.tree.map(near, newest_items(one), newest_items(other))


def test_both_ends_train_to_the_same(runs):
    assert_close(*(runs / end for end in ENDS))


@pytest.mark.parametrize("end", ENDS)
def test_one_goes_on_where_the_other_stopped(runs, tmp_path, end):
    workdir = shutil.copytree(runs / end, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "12")
    assert "resuming after step 6 of 12" in train(OTHER[end], workdir)
    assert_close(workdir, runs / end)


PREDICT = """
import sys, numpy as np, small, toy, qcs_jax, pytest
from qcs_jax.checkpoint import Trained
toy.install(pytest.MonkeyPatch())
faces = list(small.pixels(5, 36, 36, 3))
np.save(sys.argv[2], qcs_jax.load(sys.argv[1]).classify(faces)[0])
print(Trained.load(sys.argv[1], branch="base").digest)
"""


@pytest.mark.parametrize("end", ENDS)
def test_both_read_the_same_weights(runs, tmp_path, end):
    """Bit by bit, and answer alike."""
    digests, answers = set(), []
    for reader in ENDS:
        file = tmp_path / f"{reader}.npy"
        digests.add(python(reader, "-c", PREDICT, str(runs / end), str(file)))
        answers.append(np.load(file))
    assert len(digests) == 1
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-5)


RUN = """
import pathlib, sys, jax, numpy as np, small
program = pathlib.Path(sys.argv[1], "model.stablehlo").read_bytes()
logits = jax.export.deserialize(bytearray(program)).call(small.pixels(2, 112, 112, 3))
np.save(sys.argv[2], logits["logits"])
"""


def test_the_newest_runs_a_program_of_the_oldest(tmp_path):
    """The other way round JAX promises nothing."""
    out, answers = tmp_path / "out", []
    command = "qcs_jax", "export", "--checkpoint=fer2013", "--format=stablehlo"
    python("oldest", "-m", *command, f"--out={out}")
    for reader in ENDS:
        python(reader, "-c", RUN, str(out), str(tmp_path / "logits.npy"))
        answers.append(np.load(tmp_path / "logits.npy"))
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-5)
