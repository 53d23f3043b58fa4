"""SavedModel and TFLite, read by TensorFlow."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import small
from manuals import snippet

import qcs_jax
from qcs_jax.export import savedmodel, tflite
from qcs_jax.export.served import Served, largest_difference
from qcs_jax.images.decode import decode

tf = pytest.importorskip(
    "tensorflow", reason="exports to TensorFlow: pip install tensorflow"
)

NAMES = ["anger", "fear", "joy"]
ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = pathlib.Path(savedmodel.__file__).parent / "README.md"


@pytest.fixture(scope="module")
def served():
    return Served(small.trained())


@pytest.fixture(scope="module")
def saved(served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    savedmodel.write(served, folder)
    return folder


def test_what_a_savedmodel_says_about_itself(saved):
    module = tf.saved_model.load(str(saved))
    assert list(module.signatures) == ["serving_default"]
    signature = module.signatures["serving_default"]
    ((), inputs) = signature.structured_input_signature
    assert inputs["images"].shape.as_list() == [None, 36, 36, 3]
    assert inputs["images"].dtype == tf.uint8
    outputs = signature.structured_outputs
    shapes = {name: x.shape.as_list() for name, x in outputs.items()}
    assert shapes == {"logits": [None, 3], "probabilities": [None, 3]}
    assert [name.decode() for name in module.class_names.numpy()] == NAMES
    labels = pathlib.Path(module.labels.asset_path.numpy().decode())
    assert labels == saved / "assets" / "labels.txt"
    assert labels.read_text().split() == NAMES


def test_weights_are_variables(served, saved):
    stored = tf.train.list_variables(str(saved / "variables" / "variables"))
    shapes = [shape for name, shape in stored if name.startswith("weights/")]
    leaves = jax.tree.leaves(served.variables)
    assert sorted(shapes) == sorted(list(x.shape) for x in leaves)
    graph = (saved / "saved_model.pb").read_bytes()
    kernel = served.variables["params"]["base"]["vit"]["block0"]["mlp"]["fc1"]
    assert np.asarray(kernel["kernel"]).tobytes() not in graph
    assert str(ROOT).encode() not in graph  # nor where it was made


def test_tensorflow_alone_serves_it(served, saved, tmp_path):
    """As the manual shows it, without the flags that `qcs_jax` sets for XLA."""
    face = tmp_path / "face.jpg"
    small.Image.fromarray(small.pixels(45, 50, 3)).save(face)
    shown = snippet(MANUAL, "In TensorFlow")
    code = f"""{shown.replace("models/fer/1", str(saved)).replace("56, 56", "36, 36")}
import sys
np.save("out.npy", outputs["logits"].numpy())
assert names == {NAMES}
assert "qcs_jax" not in sys.modules  # TensorFlow itself looks for JAX
"""
    argv = [sys.executable, "-c", code]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    subprocess.run(argv, cwd=tmp_path, env=environment, check=True)
    expected = served.run(decode(face.read_bytes(), 36)[None])["logits"]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)


def test_a_session_serves_it(served, saved):
    """TensorFlow Serving runs graphs in sessions, and finds names in the signature."""
    faces = small.pixels(2, 36, 36, 3)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(saved))
        signature = model.signature_def["serving_default"]
        outputs = {name: x.name for name, x in signature.outputs.items()}
        actual = session.run(outputs, {signature.inputs["images"].name: faces})
    expected = served.run(faces)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, atol=1e-5)


@pytest.mark.parametrize(
    "quantize, tolerance", [("none", 1e-4), ("float16", 0.02), ("int8", 0.2)]
)
def test_tflite(tmp_path, quantize, tolerance):
    preprocess = quantize != "float16"
    served = Served(small.trained(), preprocess=preprocess, quantize=quantize)
    tflite.write(served, tmp_path)
    difference = largest_difference(served, tflite.load(tmp_path), tolerance)
    # Something is quantised: the difference is not that of rounding in float32.
    assert (difference < 1e-5) == (quantize == "none")
    assert (tmp_path / "labels.txt").read_text().split() == NAMES


def test_tflite_has_a_named_signature_and_built_in_operations(served, tmp_path):
    tflite.write(served, tmp_path)
    built_in = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with pytest.warns(UserWarning, match="tf.lite.Interpreter is deprecated"):
        # Operations that are not built in would make this fail.
        interpreter = tf.lite.Interpreter(
            str(tmp_path / "model.tflite"), experimental_op_resolver_type=built_in
        )
    interpreter.allocate_tensors()
    ends = {"inputs": ["images"], "outputs": ["logits", "probabilities"]}
    assert interpreter.get_signature_list() == {"serving_default": ends}


@pytest.mark.parametrize("format", ["savedmodel", "tflite"])
def test_screen_is_free_of_noise(tmp_path, format):
    """TensorFlow greets, and its converter and interpreter talk, in a fresh process."""
    hidden = ("TF_CPP", "TF_ENABLE", "JAX_NUMPY")
    argv = f"--checkpoint=fer2013 --format={format} --out={tmp_path / 'out'}".split()
    done = subprocess.run(
        [sys.executable, "-m", "qcs_jax.export", *argv],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(hidden)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"wrote {tmp_path / 'out'}, ")
