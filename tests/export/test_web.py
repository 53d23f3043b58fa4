"""`--format=web`, as far as it goes without ONNX and without a browser."""

import json
import pathlib
import re
import subprocess
import tarfile

import pytest

from qcs_jax.checkpoint import Trained
from qcs_jax.export import onnx, web
from qcs_jax.export.served import Served
from qcs_jax.system.errors import UserError


@pytest.fixture
def package(tmp_path):
    """What npm unpacks, but for its size."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": web.VERSION}))
    for name in web._RUNTIME:
        (folder / "dist" / name).write_text(name)
    return folder


@pytest.fixture
def write(monkeypatch, tmp_path_factory):
    """Writes the page of a network that is not in it."""
    monkeypatch.setattr(onnx, "write", lambda served, folder: None)
    trained = Trained.load("fer2013", branch="base")

    def write(runtime=None):
        folder = tmp_path_factory.mktemp("page")
        web.write(Served(trained, name="faces", runtime=runtime), folder)
        assert {path.name for path in (folder / "runtime").iterdir()} == {*web._RUNTIME}
        return folder

    return write


def test_a_folder_that_is_all_that_is_needed(write, package):
    folder = write(package)
    assert (folder / "face_detector.onnx").stat().st_size > 1e6
    said = json.loads((folder / "model.json").read_text())
    trained = Trained.load("fer2013", branch="base")
    assert said["class_names"] == list(trained.class_names)
    assert (said["resize"], said["image_size"], said["drawn"]) == (112, 104, False)
    assert said["landmarks"] == trained.landmarks and said["name"] == "faces"
    right = f"{100 * trained.evaluation['metrics']['accuracy']:.1f} %"
    assert f"trained on fer2013; right about {right} of 3,589 images" in said["about"]
    # Every file that the page asks for is there, and nothing else is asked.
    asked = set()
    for path in folder.glob("*.[hjc]*"):
        text = path.read_text("utf-8")
        asked |= set(re.findall(r"""["'](?:\./)([\w./-]+\.\w+)["']""", text))
        assert not re.search(r"https?://(?!localhost|www\.w3\.org)", text), path
    assert asked - {"model.onnx"}
    assert all((folder / name).is_file() for name in asked - {"model.onnx"})


def test_another_version_or_another_folder(write, package):
    for version, path in (("1.0.0", package), (web.VERSION, package / "dist")):
        (package / "package.json").write_text(json.dumps({"version": version}))
        with pytest.raises(UserError, match="is not onnxruntime-web 1.30.0 as npm"):
            write(path)


def test_npm_fetches_it(write, package, monkeypatch):
    def npm(command, cwd, **options):
        assert command[1:] == ["pack", "--silent", f"onnxruntime-web@{web.VERSION}"]
        with tarfile.open(pathlib.Path(cwd) / "x.tgz", "w:gz") as archive:
            archive.add(package, "package")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(web.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(web.subprocess, "run", npm)
    write()


def test_without_npm_and_without_a_connection(write, monkeypatch):
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"install npm, or give --runtime=FOLDER"):
        write()
    monkeypatch.setattr(web.shutil, "which", lambda name: "npm")
    failed = subprocess.CompletedProcess("npm", 1, "", "npm error ENOTFOUND\nmore")
    monkeypatch.setattr(web.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(UserError, match=r"npm error ENOTFOUND\): give --runtime="):
        write()
