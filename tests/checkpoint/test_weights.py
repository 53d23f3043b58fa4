"""A network in one file: what is read is what was saved, or there is an error."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import saved
import small

import qcs_jax
from qcs_jax import models
from qcs_jax.checkpoint import CheckpointError, Trained, load_variables, weights
from qcs_jax.system.errors import UserError


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A run with a step 5, and the same as a file: workdir, file."""
    folder = tmp_path_factory.mktemp("network")
    run, file = saved.run(folder / "run", 5), folder / "x.safetensors"
    variables, description, step = load_variables(run)
    weights.save(file, variables, description | {"step": step})
    return run, file


def test_a_file_is_the_checkpoint_that_it_was_made_of(network):
    run, file = network
    expected, description, _ = load_variables(run)
    variables, about, step = load_variables(file)
    small.assert_equal(variables, expected)
    assert step == 5 and about == description | {"step": 5}
    trained = Trained.load(file, branch="base")
    assert trained.workdir == pathlib.Path("runs/x")
    assert trained.model == Trained.load(run).model
    assert trained.variables["params"].keys() == {"base"}
    # Its arrays have the published names and layouts.
    arrays = safetensors.numpy.load_file(file)
    kernel = expected["params"]["base"]["backbone"]["stem_conv"]["kernel"]
    stem = arrays["ir_back.input_layer.0.weight"]
    np.testing.assert_array_equal(stem, kernel.transpose(3, 2, 0, 1))
    assert {x.dtype for x in arrays.values()} == {np.dtype("float32")}
    with safetensors.safe_open(file, framework="numpy") as opened:
        assert opened.metadata()["format"] == "pt"


def test_half_precision_halves_the_file(network, tmp_path):
    run, file = network
    variables, description, _ = load_variables(run)
    half = tmp_path / "half.safetensors"
    weights.save(half, variables, description | {"step": 5}, dtype="float16")
    assert half.stat().st_size < 0.56 * file.stat().st_size
    halves = small.flat(load_variables(half)[0])
    for name, x in small.flat(variables).items():
        assert halves[name].dtype == np.float32
        np.testing.assert_array_equal(halves[name], x.astype(np.float16), name)


def test_bytes_are_within_half_a_step_and_all_else_is_exact(network, tmp_path):
    run, file = network
    variables, description, _ = load_variables(run)
    variables["params"]["base"]["vit"]["head"]["kernel"][:, 1] = 0  # no step of its own
    packed = tmp_path / "packed.safetensors"
    weights.save(packed, variables, description | {"step": 5}, dtype="int8")
    read = small.flat(load_variables(packed)[0])
    for name, x in small.flat(variables).items():
        assert read[name].dtype == np.float32
        if name.endswith("kernel"):
            step = np.abs(x).max(axis=tuple(range(x.ndim - 1))) / 127
            assert (np.abs(read[name] - x) <= 0.5001 * step).all(), name
            assert np.abs(read[name] - x).max() > 0
        else:
            np.testing.assert_array_equal(read[name], x, name)
    stored = safetensors.numpy.load_file(packed)["ir_back.input_layer.0.weight"]
    assert stored.dtype == np.int8
    # PyTorch does not take numbers without their factors for weights.
    assert stored.ndim == 5


def test_every_size_has_names(tmp_path):
    """Of backbones that PyTorch's code does not have, too."""
    path = tmp_path / "x.safetensors"
    description = load_variables("fer2013")[1] | {"step": 1}
    for size in models.SIZES.keys() - {"full"}:
        variables = small.variables(models.create("qcs", size))
        description["config"]["model"]["size"] = size
        weights.save(path, variables, description, dtype="int8")
        read = small.flat(load_variables(path)[0])
        written = small.flat(variables)
        assert {k: x.shape for k, x in read.items()} == {
            k: x.shape for k, x in written.items()
        }
        if size == "medium":
            assert path.stat().st_size < 6e6


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    variables = small.variables(small.create("baseline"))
    variables["params"]["base"]["vit"]["head"]["bias"][0] = 1e6
    with pytest.raises(CheckpointError, match="head/bias has values that are no"):
        weights.save(path, variables, {"step": 0}, dtype="float16")
    variables = small.variables(small.create("dcs", connection="gap"))
    with pytest.raises(CheckpointError, match="cross/head/.* has no name in PyTorch"):
        weights.save(path, variables, {"step": 0})
    assert not path.exists()


NOT_WHOLE = "is no whole safetensors file"
NOT_SAVED = "is damaged: it is not what was saved"


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-1], NOT_WHOLE),
        (lambda data: b"", NOT_WHOLE),
        (lambda data: b"\xff" * 1000, NOT_WHOLE),
        (lambda data: data + b"\0", NOT_WHOLE),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), NOT_SAVED),
        (lambda data: data.replace(b"anger", b"angry"), NOT_SAVED),
    ],
)
def test_damage_is_one_error(network, tmp_path, damage, message):
    file = tmp_path / "x.safetensors"
    file.write_bytes(damage(network[1].read_bytes()))
    for read in (load_variables, qcs_jax.load):
        with pytest.raises(CheckpointError, match=message) as error:
            read(file)
        assert str(file) in str(error.value)


def with_digest(path, keys, description):
    """A file whose digest is right, with any arrays and description."""
    arrays = {key: np.zeros(3, np.float32) for key in keys}
    text = json.dumps(description)
    digest = weights.digest(arrays, text)
    safetensors.numpy.save_file(arrays, path, {"qcs_jax": text, "sha256": digest})
    return path


def test_a_file_of_another_version_or_origin_is_refused(network, tmp_path):
    _, description, _ = load_variables(network[0])
    description["step"] = 1
    path = with_digest(tmp_path / "x.safetensors", ["VIT_base.crown"], description)
    for branch in ("", "base"):
        with pytest.raises(UserError, match="does not know the array VIT_base.crown"):
            load_variables(path, branch=branch)
    del description["step"]
    with pytest.raises(UserError, match="it has no step"):
        load_variables(with_digest(path, ["VIT_base.norm.bias"], description))
    safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(CheckpointError, match="does not say which network it is of"):
        load_variables(path)
    with pytest.raises(CheckpointError, match="there is no file .*none.safetensors"):
        load_variables(tmp_path / "none.safetensors")


def test_what_exists_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path / "pretrained")
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained/mine.safetensors").touch()
    assert weights.pretrained().keys() == {"mine"}
    assert weights.find("mine") == tmp_path / "pretrained/mine.safetensors"
    (tmp_path / "mine/happiness").mkdir(parents=True)  # images, perhaps
    assert weights.find("mine") == tmp_path / "pretrained/mine.safetensors"
    assert weights.find("./mine") is weights.find(tmp_path / "mine") is None
    for run in ("checkpoints", "12/params", "seed0/checkpoints", "qcs/s/checkpoints"):
        (tmp_path / "mine" / run).mkdir(parents=True)
        assert weights.find("mine") is None
        shutil.rmtree(tmp_path / "mine" / run.partition("/")[0])
    with pytest.raises(CheckpointError, match="or a file of weights, or mine$"):
        load_variables(tmp_path / "nothing")
