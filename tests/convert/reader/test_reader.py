"""Reading PyTorch files that PyTorch wrote, and refusing files that are none.

The files in `fixtures/torch` were written by `make_fixtures.py`; their tensors hold
`ramp` values. Files made to do harm are in `test_hostile.py`.
"""

import functools
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from qcs_jax.convert.reader import (
    CheckpointFormatError,
    Stub,
    load_pth,
    state_dict_of,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "torch"
BOTH_FORMATS = pytest.mark.parametrize("suffix", ["", "_legacy"])


def ramp(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Returns -3, -2.5, -2, ... in the given shape."""
    values = np.arange(np.prod(shape, dtype=int)) / 2 - 3
    return values.astype(dtype).reshape(shape)


assert_same = functools.partial(np.testing.assert_array_equal, strict=True)


def records(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, records: Iterable[tuple[str, bytes]], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in records:
            archive.writestr(name, data)
    return path


@BOTH_FORMATS
def test_reads_a_state_dict_and_every_type(suffix):
    weights = state_dict_of(load_pth(FIXTURES / f"state_dict{suffix}.pth"))
    assert list(weights)[:3] == ["0.weight", "0.bias", "1.weight"]
    assert_same(weights["0.weight"], ramp(3, 2, 3, 3))
    assert_same(weights["1.num_batches_tracked"], np.array(-3))
    tensors = load_pth(FIXTURES / f"dtypes{suffix}.pth")
    for name in "float64 float32 float16 int64 int32 int16 int8".split():
        assert_same(tensors[name], ramp(2, 5, dtype=name))
    assert_same(tensors["bfloat16"], ramp(2, 5))  # As float32.
    assert_same(tensors["uint8"], np.abs(ramp(2, 5)).astype(np.uint8))
    assert_same(tensors["bool"], ramp(2, 5) > 0)


@BOTH_FORMATS
def test_reads_views(suffix):
    tensors = load_pth(FIXTURES / f"views{suffix}.pth")
    base = ramp(4, 6)
    expected = {
        "base": base,
        "shared": base,
        "transposed": base.T,
        "tail": base[1:, 2:],
        "stepped": base[::2, ::3],
        "expanded": np.repeat(base[:1], 3, axis=0),
        "own_transposed": base.T,
        "channels_last": ramp(1, 2, 3, 4),
        "parameter": ramp(5),
        "buffer": ramp(5),
        "scalar": np.array(7.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert_same(tensors[name], value)
    assert tensors.pop("shared") is tensors["base"]  # One tensor in two places.
    arrays = list(tensors.values())  # They are writable, and share no memory.
    for index, array in enumerate(arrays):
        array[...] = index
    for index, array in enumerate(arrays):
        assert array.flags.c_contiguous
        assert (array == index).all()


@BOTH_FORMATS
def test_reads_the_published_layout(suffix):
    checkpoint = load_pth(FIXTURES / f"published{suffix}.pth")
    assert checkpoint["epoch"] == 12
    assert checkpoint["shape"] == (2, 3)
    assert checkpoint["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert_same(checkpoint["optimizer"]["state"][0]["step"], np.array(1, np.float32))
    for name in ("recorder", "recorder1"):
        assert repr(checkpoint[name]) == "Stub('__main__.RecorderMeter')"
    assert isinstance(checkpoint["best_acc"], Stub)
    weights = state_dict_of(checkpoint)
    assert weights.keys() == {"module.weight", "module.bias"}
    assert_same(weights["module.weight"], ramp(2, 3))


def test_reads_little_endian_files_under_any_root(tmp_path):
    old = records(FIXTURES / "views.pth")
    order = next(name for name in old if name.endswith("byteorder"))
    big = write_zip(tmp_path / "big.pth", {**old, order: b"big"}.items())
    assert "not little-endian" in refused(big)
    del old[order]
    moved = [(f"another root/{k.partition('/')[2]}", data) for k, data in old.items()]
    path = write_zip(tmp_path / "moved.pth", moved)
    assert_same(load_pth(path)["tail"], ramp(4, 6)[1:, 2:])


def test_state_dict_may_be_under_other_names():
    weights = {"w": np.zeros(2), "model": np.zeros(1)}
    assert state_dict_of(weights) == weights
    for key in ("state_dict", "model_state_dict", "model"):
        assert state_dict_of({"state_dict": None, key: weights}) == weights


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ({"net": {}, "epoch": 3}, ["net (dict)", "epoch (int)", "'model_state_dict'"]),
        ({"state_dict": {"w": np.zeros(1), "x": 3}}, ["x (int)", "'state_dict'"]),
        ({"model": Stub("nets", "Net")}, ["nets.Net", "torch.save(model.state_dict()"]),
        ({"x" * 10_000 + str(i): i for i in range(10_000)}, ["and 9980 more"]),
        ("whole_model.pth", ["linear.Linear", "torch.save(model.state_dict()"]),
        ("sparse.pth", ["torch._utils._rebuild_sparse_tensor", "torch.save(model"]),
    ],
)
def test_says_what_is_there_instead_of_a_state_dict(checkpoint, words):
    if isinstance(checkpoint, str):
        checkpoint = load_pth(FIXTURES / checkpoint)
    with pytest.raises(CheckpointFormatError) as error:
        state_dict_of(checkpoint)
    assert all(word in str(error.value) for word in words)
    assert len(str(error.value)) < 4_000


def refused(path: Path) -> str:
    """Returns why `path` is refused."""
    with pytest.raises(CheckpointFormatError) as error:
        load_pth(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 600 + len(str(path))
    assert error.value.__cause__ is None
    return message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a": 1}' + bytes(16), "safetensors"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (pickle.dumps({"a": 1}), "no PyTorch checkpoint"),
        (b"PK\x03\x04" + bytes(range(256)), "incomplete or damaged"),
    ],
)
def test_refuses_other_formats(tmp_path, content, word):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert word in refused(path)


def test_refuses_what_is_no_checkpoint(tmp_path):
    assert "Orbax" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "missing.pth")
    assert "regular file" in refused(Path("/dev/null"))
    assert "TorchScript" in refused(FIXTURES / "torchscript.pth")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    assert "a.npy" in refused(tmp_path / "arrays.npz")


def test_refuses_compressed_and_ambiguous_records(tmp_path):
    old, path = records(FIXTURES / "views.pth"), tmp_path / "changed.pth"
    write_zip(path, old.items(), compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        write_zip(path, [("a/data.pkl", data) for data in old.values()])
    assert "one name" in refused(path)


def test_refuses_truncations_and_flipped_bits(tmp_path):
    path = tmp_path / "damaged.pth"
    for name in ("state_dict.pth", "state_dict_legacy.pth"):
        content = bytearray((FIXTURES / name).read_bytes())
        for length in range(0, len(content), 7):
            path.write_bytes(content[:length])
            refused(path)
    content = bytearray((FIXTURES / "state_dict.pth").read_bytes())
    content[content.index(ramp(6).tobytes())] ^= 1
    path.write_bytes(content)
    assert "CRC" in refused(path)
