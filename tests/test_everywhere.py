"""Prediction and a tiny training, as Linux, macOS and Windows have to do them.

The workflow runs this file on all three. Every command is a process of its own, and
what it prints goes to a pipe as on Windows, which lacks most letters.
"""

import json
import os
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from qcs_jax.evaluate import predictions
from qcs_jax.system import files

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
CLASSES = {"dark": 40, "grey": 120, "light": 200}
ENVIRONMENT = {name: os.environ[name] for name in os.environ if name != "XLA_FLAGS"}
ENVIRONMENT |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "cp1252"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("everywhere") / "my pictures"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def qcs_jax(place):
    """Runs a command, which succeeds; returns what it printed."""

    def call(*words):
        done = subprocess.run(
            [sys.executable, "-m", "qcs_jax", *words],
            cwd=place,
            env=ENVIRONMENT,
            capture_output=True,
            encoding="cp1252",
            errors="replace",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_prediction(qcs_jax, place):
    photo = place / "写真" / "portrait é 你.jpg"
    photo.parent.mkdir()
    photo.write_bytes(PORTRAIT.read_bytes())
    out = qcs_jax("predict", str(photo), "--out=faces.csv", "--draw=drawn")
    assert r"portrait é \u4f60.jpg" in out
    [answer] = json.loads(qcs_jax("predict", str(photo), "--json"))
    assert answer["file"] == str(photo) and len(answer["faces"]) == 1
    heads, row = (place / "faces.csv").read_text("utf-8").splitlines()
    assert row.startswith(str(photo))
    with Image.open(place / "drawn" / photo.name) as drawn:
        assert drawn.size == (512, 600)


def test_training(qcs_jax, place):
    rng = np.random.default_rng(0)
    for split, count in {"train": 10, "test": 3}.items():
        for name, grey in CLASSES.items():
            (place / "greys" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = (rng.integers(-30, 30, (48, 48, 3)) + grey).astype(np.uint8)
                path = place / "greys" / split / name / f"{i}.png"
                Image.fromarray(pixels).save(path)
    qcs_jax("prepare", "image_folder", "--manual_dir=greys", f"--data_dir={place}")
    of_run = (
        f"--config={files.packaged('configs') / 'demo.py'}:baseline",
        "--config.data.name=image_folder/greys",
        f"--config.data.dir={place}",
        "--config.data.workers=1",
        "--config.train.batch_size=8",
        f"--workdir={place / 'run'}",
    )
    for epochs in (1, 2):  # the second goes on
        out = qcs_jax("train", *of_run, f"--config.train.epochs={epochs}")
        assert f"epoch   {epochs}  step" in out
    qcs_jax("evaluate", *of_run, "--config.train.epochs=2")
    measured = predictions.read(place / "run" / "predictions.csv")
    assert measured.class_names == tuple(CLASSES) and len(measured.ids) == 9
    assert (place / "run" / "report" / "index.html").is_file()
    image = str(place / "greys" / "test" / "dark" / "0.png")
    argv = ("predict", image, "--crops", "--checkpoint=run", "--json")
    [answer] = json.loads(qcs_jax(*argv))
    row = measured.probabilities[measured.ids.index("test/dark/0.png")]
    assert answer["label"] == list(CLASSES)[row.argmax()]
