"""The reader gives what `torch.load` gives. Needs torch, which nothing else does."""

import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcs_jax.convert.reader import CheckpointFormatError, load_pth, state_dict_of

torch = pytest.importorskip("torch", reason="compares with PyTorch: pip install torch")

BOTH_FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def save(content: Any, path: Path, is_zip: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    return path


def random_tensor(generator: random.Random) -> torch.Tensor:
    """Returns a tensor of any type and rank, with or without a memory of its own."""
    size = [generator.choice([0, 1, 2, 3, 5]) for _ in range(generator.randrange(5))]
    values = torch.randint(0, 256, (*size, 8), dtype=torch.uint8)  # Any bit pattern.
    dtype = generator.choice(DTYPES)
    if dtype is torch.bool:
        return random_view(values[..., 0] > 127, generator)
    return random_view(values.view(dtype)[..., 0], generator)


def random_view(tensor: torch.Tensor, generator: random.Random) -> torch.Tensor:
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
    make = dict if kind == 6 else OrderedDict
    return make((f"layer.{i}", child) for i, child in enumerate(children))


def assert_same(actual: Any, expected: Any) -> None:
    """Compares what the reader returned with what torch returned."""
    if isinstance(expected, torch.Tensor):
        expected = expected.detach()
        is_bfloat16 = expected.dtype is torch.bfloat16
        array = (expected.float() if is_bfloat16 else expected).numpy()
        assert isinstance(actual, np.ndarray)
        assert (actual.dtype, actual.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(actual, array)  # NaN equals NaN.
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
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
    content = OrderedDict(a=torch.arange(6.0).view(2, 3).t(), b={1, 2}, c=[b"x", 1.5])
    path = tmp_path / "content.pth"
    torch.save(
        content,
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=is_zip,
    )
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
