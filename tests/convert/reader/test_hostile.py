"""PyTorch files that were made to do harm: run code, read or take memory, never end.

`fuzz.py` uses these files as seeds. The test here runs it with
QCS_FUZZ_CASES cases, or 1,500.
"""

import copy
import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qcs_jax.convert.reader import CheckpointFormatError, Stub, load_pth, state_dict_of

CANARY = Path(tempfile.gettempdir()) / f"qcs_canary_{os.getpid()}"
COMMAND = f"echo > {CANARY}"
HUGE = 2**62

# A small assembler of pickles: the functions below return programs that push a value.


def literal(value: object) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def storage(count: object, kind: str = "FloatStorage", *view: object) -> bytes:
    identity = literal("storage") + name("torch", kind) + literal("0") + literal("cpu")
    return b"(" + identity + literal(count) + b"".join(map(literal, view)) + b"tQ"


def tensor(
    source: bytes, offset: object, size: object, stride: object, *metadata: object
) -> bytes:
    arguments = map(literal, (offset, size, stride, False, None, *metadata))
    return call(name("torch._utils", "_rebuild_tensor_v2"), source, *arguments)


SYSTEM = name("os", "system")
RUN = literal(COMMAND)
OPEN = literal(f"open({str(CANARY)!r}, 'w')")
EXTENSION = 217  # Of the code that os.system is registered under, in one test.

EXECUTIONS = {
    "reduce": call(SYSTEM, RUN),
    "posix": call(name("posix", "system"), RUN),
    "eval": call(name("builtins", "eval"), OPEN),
    "exec": call(name("builtins", "exec"), OPEN),
    "popen": call(name("subprocess", "Popen"), literal(["touch", str(CANARY)])),
    "getattr": call(
        call(name("builtins", "getattr"), name("posix", "x"), literal("system")), RUN
    ),
    "dotted": call(name("torch", "_utils.os.system"), RUN),
    "stack_global": literal("os") + literal("system") + b"\x93(" + RUN + b"tR",
    "inst": b"(" + RUN + b"ios\nsystem\n",
    "obj": b"(" + SYSTEM + RUN + b"o",
    "newobj": SYSTEM + b"(" + RUN + b"t\x81",
    "newobj_ex": SYSTEM + b"(" + RUN + b"t}\x92",
    "extension": b"\x82" + bytes([EXTENSION]) + b"(" + RUN + b"tR",
    "setstate": call(name("nets", "Net")) + literal({"__setstate__": 1}) + b"b",
    "slots_state": call(name("nets", "Net")) + b"N" + literal({"a": 1}) + b"\x86b",
    "setitem": SYSTEM + literal("a") + RUN + b"s",
    "append": SYSTEM + RUN + b"a",
    "from_loader": call(name("torch.serialization", "load"), literal(str(CANARY))),
    "torch_bytes": call(name("torch.storage", "_load_from_bytes"), literal(b"x")),
}


def assemble(program: bytes, data: bytes = bytes(16)) -> bytes:
    """Returns an archive with one pickle, and one storage of 4 floats by default."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + program + b".")
        archive.writestr("a/data/0", data)
    return buffer.getvalue()


def assemble_legacy(program: bytes, data: bytes = bytes(16)) -> bytes:
    """Returns the same in the legacy format; the storage is there if it is used."""
    header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    start = b"".join(pickle.dumps(value, protocol=2) for value in header)
    keys = ["0"] if literal("storage") in program else []
    end = (struct.pack("<q", len(data) // 4) + data) * len(keys)
    return start + b"\x80\x02" + program + b"." + pickle.dumps(keys, protocol=2) + end


def load(tmp_path: Path, content: bytes) -> object:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    return load_pth(path)


def refused(tmp_path: Path, content: bytes) -> str:
    began = time.process_time()
    with pytest.raises(CheckpointFormatError) as error:
        load(tmp_path, content)
    assert time.process_time() - began < 5
    assert len(str(error.value)) < 800
    return str(error.value)


def test_the_payloads_are_real():
    pickle.loads(EXECUTIONS["reduce"] + b".")
    assert CANARY.exists()
    CANARY.unlink()


BOTH = pytest.mark.parametrize("container", [assemble, assemble_legacy])


@BOTH
@pytest.mark.parametrize("payload", EXECUTIONS)
def test_nothing_is_executed(tmp_path, payload, container):
    program = container(b"}" + literal("x") + EXECUTIONS[payload] + b"s")
    copyreg.add_extension("os", "system", EXTENSION)
    try:
        if payload in ("inst", "obj", "extension"):  # which PyTorch never writes
            refused(tmp_path, program)
        else:
            result = load(tmp_path, program)
            assert isinstance(result["x"], Stub)
            assert "Stub(" in repr(result)
    finally:
        copyreg.remove_extension("os", "system", EXTENSION)
    assert not CANARY.exists()


TENSORS = {
    "offset": tensor(storage(4), 1, (4,), (1,)),
    "end": tensor(storage(4), 4, (1,), (1,)),
    "size": tensor(storage(4), 0, (5,), (1,)),
    "stride": tensor(storage(4), 0, (2, 2), (3, 1)),
    "huge_offset": tensor(storage(4), HUGE, (1,), (1,)),
    "overflow": tensor(storage(4), 0, (2, 2), (HUGE, HUGE)),
    "wraps": tensor(storage(4), 0, (3,), (2**63 - 1,)),
    "long": tensor(storage(4), 0, (2**10_000,), (1,)),
    "negative_size": tensor(storage(4), 0, (-1,), (1,)),
    "negative_stride": tensor(storage(4), 3, (4,), (-1,)),
    "negative_offset": tensor(storage(4), -1, (1,), (1,)),
    "float_size": tensor(storage(4), 0, (1.0,), (1,)),
    "bool_size": tensor(storage(4), 0, (True,), (1,)),
    "no_size": tensor(storage(4), 0, None, (1,)),
    "ranks_differ": tensor(storage(4), 0, (2, 2), (1,)),
    "dimensions": tensor(storage(4), 0, (1,) * 70, (1,) * 70),
    "terabytes": tensor(storage(4), 0, (2**40,), (0,)),
    "terabytes_2": tensor(storage(4), 0, (2**20, 2**20), (0, 0)),
    "empty_but_huge": tensor(storage(4), 0, (0, HUGE, HUGE), (1, 1, 1)),
    "no_storage": tensor(literal([1, 2]), 0, (1,), (1,)),
    "long_storage": tensor(storage(5), 0, (5,), (1,)),
    "huge_storage": tensor(storage(HUGE), 0, (5,), (1,)),
    "negative_storage": tensor(storage(-1), 0, (0,), (1,)),
    "no_count": tensor(storage("4"), 0, (1,), (1,)),
    "complex": tensor(storage(2, "ComplexFloatStorage"), 0, (1,), (1,)),
    "two_types": tensor(storage(4), 0, (1,), (1,))
    + tensor(storage(2, "DoubleStorage"), 0, (1,), (1,)),
    "few_arguments": call(name("torch._utils", "_rebuild_tensor_v2"), storage(4)),
    "negated": tensor(storage(4), 0, (1,), (1,), {"neg": True}),
    "view": tensor(storage(4, "FloatStorage", ("1", 0, 3)), 0, (3,), (1,)),
}


REASONS = {
    "offset": "reaches element 4 of a storage of 4",
    "dimensions": "no valid size and strides",
    "terabytes": "far more than the file",
    "negated": "lazily negated",
    "view": "names a storage wrongly",
}


@BOTH
@pytest.mark.parametrize("kind", TENSORS)
def test_false_tensors_are_refused(tmp_path, kind, container):
    assert REASONS.get(kind, "") in refused(tmp_path, container(TENSORS[kind]))


def test_many_copies_of_one_storage_are_refused(tmp_path):
    data = bytes(4 << 20)
    one = tensor(storage(len(data) // 4), 0, (len(data) // 4 - 1,), (1,))
    assert "far more" in refused(tmp_path, assemble(b"(" + one * 500 + b"l", data))


@BOTH
def test_tensors_that_are_strange_and_harmless(tmp_path, container):
    data = np.float32([1, 2, 3, 4]).tobytes()
    # Strides along one element do not matter.
    one = tensor(storage(4), 1, (1, 3), (2**63 - 1, 1))
    first, second, *_ = load(tmp_path, container(b"(" + one * 3 + b"l", data))
    assert first.tolist() == second.tolist() == [[2, 3, 4]]
    assert not np.shares_memory(first, second)
    # Bools become zero or one.
    program = tensor(storage(4, "BoolStorage"), 0, (4,), (1,))
    bools = load(tmp_path, assemble(program, b"\0\1\2\xff"))
    assert bools.view(np.uint8).tolist() == [0, 1, 1, 1]


BOMBS = {
    "memo_index": b"Nr\xff\xff\xff\x7f" + b"j\xff\xff\xff\x7e",
    "binbytes": b"\x8e" + struct.pack("<Q", 2**62),
    "binunicode": b"\x8d" + struct.pack("<Q", 2**63 + 1) + b"abc",
    "long": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01",
    "decimal": b"I" + b"9" * 1_000_000 + b"\n",
    "steps": b"N0" * 700_000,
    "long_calls": b"]q\x00(" + b"NN\x86" * 150_000 + b"e0"
    + call(name("collections", "OrderedDict"), b"h\x00") * 10_000,
    "long_id": storage(4)[:-2] + b"N" * 150_000 + b"lq\x00" + b"h\x00Q" * 50_000,
    "frame": b"\x95" + struct.pack("<Q", 2**63),
    "underflow": b"0" * 10,
    "unbalanced": b"Ne",
    "buffers": b"\x97",
    "call_of_no_global": call(literal(1)),
    "persistent_text": b"Psomething\n",
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused(tmp_path, bomb, container):
    refused(tmp_path, container(BOMBS[bomb]))


def test_nesting_is_harmless(tmp_path):
    pairs = b")" + b"2\x86" * 200  # a tuple of a tuple twice, and so on: 2**200 leaves
    assert isinstance(load(tmp_path, assemble(pairs)), tuple)
    with_key = load(tmp_path, assemble(b"}" + pairs + b"Ns"))
    assert [repr(key) for key in with_key] == ["Stub('key.tuple')"]
    for key in ("x" * 2_000, 2**61):
        assert key not in load(tmp_path, assemble(b"}" + literal(key) + b"Ns"))
    with pytest.raises(CheckpointFormatError, match="found"):
        state_dict_of(load(tmp_path, assemble(b"}" + literal("x") + pairs + b"s")))
    assert load(tmp_path, assemble(b"]" * 300_000 + b"a" * 299_999)) is not None


def test_overlapping_records_are_refused(tmp_path):
    buffer = io.BytesIO(assemble(b"N", bytes(1000)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a/last", b"")  # so that the directory is written anew
        for i in range(1, 10):
            record = copy.copy(archive.getinfo("a/data/0"))
            record.filename = f"a/data/{i}"
            archive.filelist.append(record)
    assert "overlap" in refused(tmp_path, buffer.getvalue())


def test_survives_fuzzing():
    cases = int(os.environ.get("QCS_FUZZ_CASES", "1500"))
    command = [sys.executable, Path(__file__).with_name("fuzz.py"), str(cases)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2_000:]
    # Else nothing deep is reached, or nothing is refused.
    assert cases // 50 < int(process.stdout) < cases * 3 // 4
