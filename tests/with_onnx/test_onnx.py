"""ONNX, read by ONNX Runtime."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import saved
import small
from manuals import snippet

import qcs_jax
from qcs_jax.checkpoint import Trained, weights
from qcs_jax.export import __main__ as command
from qcs_jax.export import onnx
from qcs_jax.export.served import ExportError, Served, largest_difference
from qcs_jax.images.decode import decode

onnx_package = pytest.importorskip("onnx", reason=f"ONNX: {onnx.INSTALL}")
pytest.importorskip("jax2onnx", reason=f"ONNX: {onnx.INSTALL}")
ort = pytest.importorskip("onnxruntime", reason=f"ONNX: {onnx.INSTALL}")

# Of jax2onnx and of the packages below it.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = pathlib.Path(onnx.__file__).parent / "README.md"
NAMES = ["anger", "fear", "joy"]


@pytest.fixture(scope="module")
def served():
    return Served(small.trained())


@pytest.fixture(scope="module")
def folder(served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx") / os.fsdecode(b"caf\xe9")  # no text
    folder.mkdir()
    onnx.write(served, folder)
    return folder


def test_any_number_of_faces(served, folder):
    run = onnx.load(folder)
    for count in (1, 5):
        faces = small.pixels(count, 36, 36, 3, seed=count)
        expected = served.run(faces)["probabilities"]
        np.testing.assert_allclose(run(faces)["probabilities"], expected, atol=1e-6)
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "labels.txt"}
    assert (folder / "labels.txt").read_text().split() == NAMES


def session_of(folder):
    return ort.InferenceSession((folder / "model.onnx").read_bytes())


def metadata_of(folder):
    texts = session_of(folder).get_modelmeta().custom_metadata_map
    return {name: json.loads(text) for name, text in texts.items()}


def test_without_preprocessing(served, tmp_path):
    plain = dataclasses.replace(served, preprocess=False)
    onnx.write(plain, tmp_path)
    images = small.images(3, 32, 32, 3)
    expected, actual = plain.run(images), onnx.load(tmp_path)(images)
    np.testing.assert_allclose(actual["logits"], expected["logits"], atol=1e-5)
    assert metadata_of(tmp_path)["preprocessing"]["inside"] is False


def test_what_it_says_about_itself(folder):
    data = (folder / "model.onnx").read_bytes()
    model = onnx_package.load_from_string(data)
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 17)]
    session = session_of(folder)
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["b", 36, 36, 3]
    outputs = {x.name: (x.type, x.shape) for x in session.get_outputs()}
    scores = "tensor(float)", ["b", 3]
    assert outputs == {"logits": scores, "probabilities": scores}
    preprocessing = {"color": "RGB", "resize": 36, "crop": 32, "inside": True}
    expected = {"class_names": NAMES, "preprocessing": preprocessing}
    assert metadata_of(folder) == expected
    assert str(ROOT).encode() not in data and sys.prefix.encode() not in data


def initializers(model):
    return [onnx_package.numpy_helper.to_array(x) for x in model.graph.initializer]


def test_float16_is_how_weights_are_stored(served, tmp_path):
    onnx.write(dataclasses.replace(served, quantize="float16"), tmp_path)
    model = onnx_package.load(tmp_path / "model.onnx")
    large = [x for x in initializers(model) if x.size >= 64]
    kinds = {x.dtype for x in large if x.dtype.kind == "f"}
    assert kinds == {np.dtype(np.float16)}
    difference = largest_difference(served, onnx.load(tmp_path), 0.02)
    assert difference > 1e-5  # something is rounded


def test_int8_computes_in_8_bits_with_ranges_of_the_examples(served, tmp_path):
    examples = small.pixels(40, 36, 36, 3, seed=1)
    int8 = dataclasses.replace(served, quantize="int8", examples=examples)
    onnx.write(int8, tmp_path)
    difference = largest_difference(served, onnx.load(tmp_path), 0.3)
    assert difference > 1e-4
    model = onnx_package.load(tmp_path / "model.onnx")
    assert "QuantizeLinear" in [node.op_type for node in model.graph.node]
    assert sum(x.dtype == np.int8 and x.ndim == 4 for x in initializers(model)) > 5
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "labels.txt"}
    # Black examples show nothing of what faces need.
    onnx.write(dataclasses.replace(int8, examples=examples[:8] * 0), tmp_path)
    with pytest.raises(ExportError, match="not the network"):
        largest_difference(served, onnx.load(tmp_path), 0.3)


def test_command(tmp_path, monkeypatch, capsys):
    """int8 calibrates on some of the photographs, and is measured on the others."""
    monkeypatch.setattr("qcs_jax.export.served.BATCHES", (2,))
    run = saved.run(tmp_path / "run", 0)
    for i, name in enumerate([*saved.CLASS_NAMES] * 4):
        (tmp_path / "faces" / name).mkdir(parents=True, exist_ok=True)
        face = small.Image.fromarray(small.pixels(52, 52, 3, seed=i))
        face.save(tmp_path / "faces" / name / f"{i}.png")
    argv = [f"--checkpoint={run}", "--format=onnx", f"--out={tmp_path / 'out'}"]
    images = f"--images={tmp_path / 'faces'}"
    assert command.main([*argv, "--quantize=int8", images]) == 0
    output = capsys.readouterr().out
    assert "calibrated on 6 of the photographs" in output
    assert "% of 6 images; the network" in output
    assert "2 random images: logits differ by" in output


def test_the_hub_has_it_beside_the_weights(tmp_path, monkeypatch, capsys):
    """Of a trained network, whose batch normalisation it has folded."""
    monkeypatch.setattr("qcs_jax.export.served.BATCHES", (2,))
    out = tmp_path / "out"
    argv = ["--checkpoint=fer2013", "--format=hub", f"--out={out}"]
    assert command.main(argv) == 0
    assert "note" not in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "config.json", "labels.txt", "model.onnx", weights.FILE)
    }
    network = Served(Trained.load(out, branch="base"), folded=False)
    assert largest_difference(network, onnx.load(out), 2e-5) < 1e-5


def test_onnx_runtime_alone_serves_it(served, folder, tmp_path):
    """As the manual shows it."""
    face = tmp_path / "face.jpg"
    small.Image.fromarray(small.pixels(45, 50, 3)).save(face)
    shutil.copytree(folder, tmp_path / "fer_onnx")
    code = f"""{snippet(MANUAL, "In ONNX Runtime")}
np.save("out.npy", outputs)
import sys
assert "jax" not in sys.modules and names == {NAMES}
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = served.run(decode(face.read_bytes(), 36)[None])
    outputs = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(outputs, expected["probabilities"], atol=1e-5)
