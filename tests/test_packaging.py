"""What is installed: a wheel, built without a network, and used in an empty folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import matplotlib
import pytest

import qcs_jax
from qcs_jax.system.datasets import DATASETS

ROOT = pathlib.Path(__file__).parents[1]
# Folder -> its name once installed.
FOLDERS = {"qcs_jax": "qcs_jax", "configs": "qcs_jax/configs", "data": "qcs_jax/data"}
FER2013 = DATASETS["fer2013"].class_names
METADATA = "dist-info/"
VERSION = qcs_jax.__version__
PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"


def sources(folder, pattern):
    """Names that the files of a folder should have in a wheel."""
    files = (ROOT / folder).rglob(pattern)
    return {
        f"{FOLDERS[folder]}/{f.relative_to(ROOT / folder).as_posix()}" for f in files
    }


def test_every_package_is_named():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = settings["tool"]["setuptools"]["packages"]
    files = set().union(*(sources(folder, "*.py") for folder in FOLDERS))
    packages = {os.path.dirname(file).replace("/", ".") for file in files}
    assert packages == set(named) and len(named) == len(packages)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy, since setuptools leaves its files where it builds."""
    pytest.importorskip("setuptools", "77", reason="setuptools 77 builds the wheel")
    copy = tmp_path_factory.mktemp("copy") / "project"
    copy.mkdir()
    # What the image of the Dockerfile is built from, too.
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            shutil.copy(ROOT / name, copy)
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_what_is_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"qcs_jax"}
    installed = {name for name in names if METADATA not in name}
    wanted = {"qcs_jax/py.typed"}
    for folder in FOLDERS:
        wanted |= sources(folder, "*.py")
    wanted |= sources("configs", "README.md") | sources("data", "README.md")
    wanted |= sources("qcs_jax", "*.jinja") | sources("qcs_jax", "pretrained/*")
    wanted |= sources("qcs_jax", "export/page/*") | {"qcs_jax/export/card.md"}
    wanted |= sources("qcs_jax", "experiment/tables/*")
    assert installed == wanted
    for name in ("export/page/page.js", "pretrained/face_detector.onnx"):
        assert f"qcs_jax/{name}" in installed


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs Python in an empty folder, with the wheel instead of the checkout."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    zipfile.ZipFile(wheel).extractall(site)
    path = os.pathsep.join([str(site), str(ROOT / "tests/support")])

    def call(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=empty,
            env={**os.environ, "PYTHONPATH": path, "TFDS_DATA_DIR": str(empty)},
            capture_output=True,
            text=True,
        )

    assert call("-c", "import qcs_jax; print(qcs_jax.__file__)").stdout == (
        f"{site / 'qcs_jax' / '__init__.py'}\n"
    )
    return call


def test_a_recipe_is_found_and_a_preparation_starts(run):
    ended = run("-m", "qcs_jax.main", "--config=raf:dcs,tiny")
    assert ended.returncode == 1
    assert "qcs-jax prepare raf_db --manual_dir=FOLDER" in ended.stderr
    manual = ended.stderr.split("owners: ")[1].split(" says")[0]
    assert pathlib.Path(manual).is_file()
    ended = run("-m", "qcs_jax", "prepare", "raf_db", "--manual_dir=nowhere")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ") and "nowhere" in ended.stderr


def test_it_does_by_itself_what_a_release_is_tested_with(run):
    ended = run(str(ROOT / "tests/wheel/smoke.py"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"qcs_jax {VERSION}: ")


HIDDEN = "import light, sys; light.hide(); "  # what extras bring


def test_prediction_does_without_extras(run):
    code = HIDDEN + "from qcs_jax.__main__ import entry; entry()"
    ended = run("-c", code, "predict", str(PORTRAIT))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].split()[1] in FER2013
    code = HIDDEN + "import qcs_jax; c = qcs_jax.load(); "
    code += "faces = c.predict_photo(sys.argv[1]).faces; "
    code += "print(c.predict(sys.argv[1]).label, len(faces))"
    ended = run("-c", code, str(PORTRAIT))
    assert (ended.returncode, ended.stderr) == (0, "")
    label, faces = ended.stdout.split()
    assert label in FER2013 and faces == "1"


COMMANDS = {
    "train --config=raf": "train",
    "evaluate --config=raf": "train",
    "prepare synthetic_faces": "train",
    "benchmark --config=demo": "train",
    "experiment --config=demo --table=1 --seeds=0 --workdir=runs": "train",
    "transfer fer2013 --data=ferplus": "train",
    "visualize --checkpoint=fer2013 --images=faces": "report",
}


def test_other_commands_name_the_extra_in_one_line(run):
    code = HIDDEN + "from qcs_jax.__main__ import main; "
    code += "print([main(command.split()) for command in sys.argv[1:]])"
    ended = run("-c", code, *COMMANDS)
    assert ended.stdout == f"{[1] * len(COMMANDS)}\n"
    for extra, line in zip(COMMANDS.values(), ended.stderr.splitlines(), strict=True):
        assert line.startswith("error: ")
        assert line.endswith(f': pip install "qcs_jax[{extra}]"')
