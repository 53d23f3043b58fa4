"""Checkpoints that torch wrote, as it reads them, and torch reading what is written."""

import collections
import random
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import published
import pytest

import qcs_jax
from qcs_jax import checkpoint, convert, models
from qcs_jax.convert import __main__ as command
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.convert.reader import CheckpointFormatError, load_pth, state_dict_of
from qcs_jax.export import __main__ as export
from qcs_jax.export import served

torch = pytest.importorskip("torch", reason="checks against PyTorch: pip install torch")


class RecorderMeter:
    """Stands for the object of the training script that its checkpoints hold."""

    def __init__(self):
        self.epoch_losses = np.zeros((3, 2), np.float32)


def test_published_checkpoint_predicts_the_golden_logits(tmp_path, monkeypatch, capsys):
    """As does the file of weights, which torch reads, too: names and bits are the same.

    The file is as the training script writes it: data-parallel names, and recorders.
    """
    state_dict, golden = published.state_dict("qcs_7"), published.read("qcs_7")
    tensors = collections.OrderedDict(
        (f"module.{key}", torch.from_numpy(np.asarray(array)))
        for key, array in state_dict.items()
    )
    main = sys.modules["__main__"]
    monkeypatch.setattr(RecorderMeter, "__module__", "__main__")
    monkeypatch.setattr(main, "RecorderMeter", RecorderMeter, raising=False)
    recorders = {"recorder": RecorderMeter(), "recorder1": RecorderMeter()}
    best = {"epoch": 7, "state_dict": tensors, "best_acc": torch.tensor(92.5)}
    torch.save({**best, **recorders}, tmp_path / "model_best.pth")
    run, out = tmp_path / "run", tmp_path / "out"
    assert command.main([str(tmp_path / "model_best.pth"), f"--out={run}"]) == 0
    output = capsys.readouterr().out
    assert "qcs, full size, 7 classes" in output
    assert "66,810,513 parameters, 40,700,039 of the base branch" in output
    assert "79 arrays, 16,063,606 parameters" in output
    monkeypatch.setattr(served, "BATCHES", (1,))
    argv = [f"--checkpoint={run}", "--format=safetensors", "--whole", f"--out={out}"]
    assert export.main(argv) == 0
    safetensors_torch = pytest.importorskip("safetensors.torch")
    exported = safetensors_torch.load_file(out / "model.safetensors")
    assert exported.keys() < state_dict.keys()
    for key, tensor in exported.items():
        np.testing.assert_array_equal(tensor.numpy(), state_dict[key])

    branches, _ = published.batch(golden["seed"], 0, golden["branches"], 7)
    images, expected = branches.reshape(-1, 224, 224, 3), golden["eval_base_logits"]
    for path in (run, out):
        logits = qcs_jax.load(path).logits(images)
        np.testing.assert_allclose(logits, expected, atol=2e-5)
    variables, _, _ = checkpoint.load_variables(run)
    interact = jax.jit(lambda v, x: models.create("qcs").apply(v, x, method="interact"))
    both = np.concatenate(interact(variables, branches))
    np.testing.assert_allclose(both, golden["eval_all_logits"], atol=2e-5)


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_torch_loads_what_is_written(tmp_path, options):
    layout = published.read("layout_dcs_8")
    variables = convert.from_torch(published.state_dict("dcs_8"))
    state_dict = convert.to_torch(variables)
    save_pth(tmp_path / "x.pth", state_dict)
    loaded = torch.load(tmp_path / "x.pth", weights_only=True, **options)
    assert type(loaded) is collections.OrderedDict
    assert {key: list(tensor.shape) for key, tensor in loaded.items()} == layout
    for key, tensor in loaded.items():
        assert tensor.is_contiguous() and not tensor.requires_grad
        assert tensor.data_ptr() % 64 == 0
        assert tensor.dtype == torch.from_numpy(state_dict[key]).dtype
        np.testing.assert_array_equal(tensor.numpy(), state_dict[key])


BOTH_FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
DTYPES = [
    getattr(torch, name)
    for name in (
        "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
    )
]


def save(content: Any, path: Path, is_zip: bool, **options: int) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip, **options)
    return path


def random_tensor(generator: random.Random) -> torch.Tensor:
    """Returns a tensor of any type and rank, with or without a memory of its own."""
    size = [generator.choice([0, 1, 2, 3, 5]) for _ in range(generator.randrange(5))]
    values = torch.randint(0, 256, (*size, 8), dtype=torch.uint8)  # Any bit pattern.
    dtype = generator.choice(DTYPES)
    is_bool = dtype is torch.bool
    tensor = values[..., 0] > 127 if is_bool else values.view(dtype)[..., 0]
    match generator.randrange(7):
        case 0:
            return tensor.clone()
        case 1 if tensor.ndim >= 2:
            return tensor.transpose(0, generator.randrange(1, tensor.ndim))
        case 2 if tensor.ndim:
            return tensor[1:]
        case 3 if tensor.ndim:
            return tensor[..., ::2]
        case 4:
            return tensor[None].expand(3, *tensor.shape)
        case 5:
            return torch.nn.Parameter(tensor.contiguous(), requires_grad=False)
        case _:
            return tensor.contiguous()


def random_content(generator: random.Random, depth: int = 3) -> Any:
    """Returns nested containers of tensors and of what else training scripts save."""
    kind = generator.randrange(8 if depth else 4)
    if kind < 3:
        return random_tensor(generator)
    if kind == 3:
        others = None, True, 3, -(2**70), 0.5, "text \u00e9", torch.Size([2, 3])
        return generator.choice(others)
    children = [random_content(generator, depth - 1) for _ in range(4)]
    children += generator.sample(children, 1)  # One tensor in two places.
    if kind == 4:
        return tuple(children)
    if kind == 5:
        return children
    make = dict if kind == 6 else collections.OrderedDict
    return make((f"layer.{i}", child) for i, child in enumerate(children))


def assert_same(actual: Any, expected: Any) -> None:
    """Compares what the reader returned with what torch returned."""
    if isinstance(expected, torch.Tensor):
        expected = expected.detach()
        is_bfloat16 = expected.dtype is torch.bfloat16
        array = (expected.float() if is_bfloat16 else expected).numpy()
        np.testing.assert_array_equal(actual, array, strict=True)  # NaN equals NaN.
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        assert_same(list(actual.values()), list(expected.values()))
    elif isinstance(expected, (list, tuple)):
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    else:
        assert type(actual) is type(expected)
        assert actual == expected


@BOTH_FORMATS
@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_torch(tmp_path, seed, is_zip):
    generator = random.Random(seed)
    torch.manual_seed(seed)
    content = {f"entry{i}": random_content(generator) for i in range(6)}
    path = save(content, tmp_path / "content.pth", is_zip)
    expected = torch.load(path, weights_only=False)
    assert_same(load_pth(path), expected)


@BOTH_FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_agrees_for_every_pickle_protocol(tmp_path, protocol, is_zip):
    content = {"a": torch.arange(6.0).view(2, 3).t(), "b": {1, 2}, "c": [b"x", 1.5]}
    path = save(content, tmp_path / "x.pth", is_zip, pickle_protocol=protocol)
    result = load_pth(path)
    np.testing.assert_array_equal(result["a"], content["a"].numpy())
    assert result["c"] == [b"x", 1.5] or protocol == 2  # There bytes are a call.


OTHERS = {
    "sparse": lambda: torch.eye(2).to_sparse(),
    "sparse_csr": lambda: torch.eye(2).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "negated": lambda: torch.ones(2, dtype=torch.complex64).conj().imag,
    "uint16": lambda: torch.ones(2, dtype=torch.uint16),
    "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
    "meta": lambda: torch.ones(2, device="meta"),
}


@BOTH_FORMATS
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore")  # Sparse and quantized tensors have their own.
def test_other_tensors_are_refused(tmp_path, kind, is_zip):
    path = save({"a": OTHERS[kind]()}, tmp_path / "other.pth", is_zip)
    with pytest.raises(CheckpointFormatError, match="Save the weights in PyTorch"):
        state_dict_of(load_pth(path))


def test_missing_checksums_are_explained(tmp_path):
    path = tmp_path / "unchecked.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(100)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    with pytest.raises(CheckpointFormatError, match="without checksums"):
        load_pth(path)
