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
from qcs_jax.export import __main__ as command
from qcs_jax.export import check, savedmodel, tflite
from qcs_jax.export.served import Served
from qcs_jax.images.decode import decode

tf = pytest.importorskip(
    "tensorflow", reason="exports to TensorFlow: pip install tensorflow"
)

NAMES = ["anger", "fear", "joy"]
ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = pathlib.Path(savedmodel.__file__).parent / "README.md"


@pytest.fixture(scope="module")
def classifier():
    return small.classifier()


@pytest.fixture(scope="module")
def saved(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    savedmodel.write(Served.of(classifier), folder)
    return folder


def test_savedmodel(classifier, saved):
    run = savedmodel.load(saved)
    for count in (1, 4):
        faces = small.pixels(count, 36, 36, 3, seed=count)
        expected = [p.probabilities for p in classifier.predict(faces)]
        np.testing.assert_allclose(run(faces)["probabilities"], expected, atol=1e-6)


def test_savedmodel_without_preprocessing(classifier, tmp_path):
    savedmodel.write(Served.of(classifier, preprocess=False), tmp_path)
    images = small.images(3, 32, 32, 3)
    outputs = savedmodel.load(tmp_path)(images)
    np.testing.assert_allclose(outputs["logits"], classifier.logits(images), atol=1e-5)


def test_what_a_savedmodel_says_about_itself(classifier, saved):
    module = tf.saved_model.load(str(saved))
    assert list(module.signatures) == ["serving_default"]
    signature = module.signatures["serving_default"]
    ((), inputs) = signature.structured_input_signature
    assert inputs["images"].shape.as_list() == [None, 36, 36, 3]
    assert inputs["images"].dtype == tf.uint8
    outputs = signature.structured_outputs
    assert {name: x.shape.as_list() for name, x in outputs.items()} == {
        "logits": [None, 3],
        "probabilities": [None, 3],
    }
    assert [name.decode() for name in module.class_names.numpy()] == NAMES
    labels = pathlib.Path(module.labels.asset_path.numpy().decode())
    assert labels == saved / "assets" / "labels.txt"
    assert labels.read_text().split() == NAMES


def test_weights_are_variables(classifier, saved):
    stored = tf.train.list_variables(str(saved / "variables" / "variables"))
    shapes = [shape for name, shape in stored if name.startswith("weights/")]
    leaves = jax.tree.leaves(classifier.variables)
    assert sorted(shapes) == sorted(list(x.shape) for x in leaves)
    graph = (saved / "saved_model.pb").read_bytes()
    kernel = classifier.variables["params"]["base"]["vit"]["block0"]["mlp"]["fc1"]
    assert np.asarray(kernel["kernel"]).tobytes() not in graph
    assert str(ROOT).encode() not in graph  # nor where it was made


def test_tensorflow_alone_serves_it(classifier, saved, tmp_path):
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
    expected = Served.of(classifier).run(decode(face.read_bytes(), 36)[None])["logits"]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)


def test_a_session_serves_it(classifier, saved):
    """TensorFlow Serving runs graphs in sessions, and finds names in the signature."""
    faces = small.pixels(2, 36, 36, 3)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(saved))
        signature = model.signature_def["serving_default"]
        outputs = {name: x.name for name, x in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["images"].name: faces})
    expected = Served.of(classifier).run(faces)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize(
    "quantize, tolerance", [("none", 1e-4), ("float16", 0.02), ("int8", 0.2)]
)
def test_tflite(classifier, tmp_path, quantize, tolerance):
    served = Served.of(classifier, preprocess=quantize != "float16")
    tflite.write(served, tmp_path, quantize=quantize)
    difference = check.largest_difference(served, tflite.load(tmp_path), tolerance)
    # Something is quantised: the difference is not that of rounding in float32.
    assert (difference < 1e-5) == (quantize == "none")
    assert (tmp_path / "labels.txt").read_text().split() == NAMES
    assert {path.name for path in tmp_path.iterdir()} == {"model.tflite", "labels.txt"}


def test_tflite_has_a_named_signature_and_built_in_operations(classifier, tmp_path):
    tflite.write(Served.of(classifier), tmp_path)
    with pytest.warns(UserWarning, match="tf.lite.Interpreter is deprecated"):
        # Operations that are not built in would make this fail.
        interpreter = tf.lite.Interpreter(
            str(tmp_path / "model.tflite"),
            experimental_op_resolver_type=(
                tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )
    interpreter.allocate_tensors()
    assert interpreter.get_signature_list() == {
        "serving_default": {
            "inputs": ["images"],
            "outputs": ["logits", "probabilities"],
        }
    }


@pytest.mark.parametrize("format", ["savedmodel", "tflite"])
def test_command(tmp_path, monkeypatch, capsys, format):
    monkeypatch.setattr(check, "BATCHES", (2,))
    monkeypatch.setattr(command, "_read", lambda args: small.trained())
    argv = ["--checkpoint=run", f"--format={format}", f"--out={tmp_path / 'out'}"]
    assert command.main(argv) == 0
    told, error = capsys.readouterr()
    assert "2 random images" in told and "wrote" in told

    write = savedmodel.write
    other = Served.of(small.classifier(seed=1))
    monkeypatch.setattr(
        savedmodel,
        "write",
        lambda _, folder, **options: write(other, folder, **options),
    )
    argv[-1] += "2"
    assert command.main(argv) == 1
    assert "error: the exported model is not the network" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("format", ["savedmodel", "tflite"])
def test_screen_is_free_of_noise(tmp_path, format):
    """TensorFlow greets, and its converter and interpreter talk, in a fresh process."""
    hidden = ("TF_CPP", "TF_ENABLE", "JAX_NUMPY")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "qcs_jax.export", "--checkpoint=fer2013"),
            *(f"--format={format}", f"--out={tmp_path / 'out'}"),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(hidden)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"wrote {tmp_path / 'out'}, ")


def test_quantized_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "BATCHES", (2,))
    monkeypatch.setattr(command, "_read", lambda args: small.trained())
    out = tmp_path / "out"
    argv = ["--checkpoint=run", "--format=tflite", "--quantize=int8", f"--out={out}"]
    assert command.main(argv) == 0
    assert "(allowed 5.0e-01)" in capsys.readouterr().out
    smaller = (out / "model.tflite").stat().st_size
    tflite.write(Served.of(small.classifier()), tmp_path)
    assert smaller < (tmp_path / "model.tflite").stat().st_size
