"""Fuzzes the reader of PyTorch files: `python fuzz.py CASES [SEED]`.

Each case is a valid or hostile file with random changes: anywhere, or in the records of
an archive, whose checksums are right again. The reader may return a result or raise
CheckpointFormatError. Anything else ends the run and keeps the file: another exception,
a case that executes, imports or opens something, or one that takes two seconds. So does
a run that takes much memory. Prints how many cases have loaded.
"""

import codecs
import io
import os
import pickletools
import random
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

# This tree comes before an installed one: it is the one to test.
sys.path[:0] = [str(Path(__file__).parents[i]) for i in (0, 3)]

from test_hostile import (  # noqa: E402
    BOMBS,
    CANARY,
    EXECUTIONS,
    TENSORS,
    assemble,
    assemble_legacy,
)

from qcs_jax.convert.reader import (  # noqa: E402
    CheckpointFormatError,
    load_pth,
    state_dict_of,
)

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "torch").glob("*.pth"))
MAX_SECONDS = 2.0
MAX_ADDRESS_SPACE = 4 << 30

# What happens in Python when something is run, loaded or changed.
FORBIDDEN_EVENTS = (
    "exec compile import marshal.loads pickle.find_class ctypes os. subprocess. socket."
    " shutil. code.__new__ object.__setattr__ sys.settrace"
).split()

PROGRAMS = [*EXECUTIONS.values(), *TENSORS.values()]
# Pieces that go anywhere into a pickle: each opcode, and whole programs.
PIECES = [
    *(opcode.code.encode("latin-1") for opcode in pickletools.opcodes),
    *(program for program in (*PROGRAMS, *BOMBS.values()) if len(program) < 1_000),
]


class Watch:
    """Notes forbidden audit events while it has a path; its hook stays for ever."""

    def __init__(self) -> None:
        self.path = ""
        self.events: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        is_other_file = event == "open" and str(arguments[0]) != self.path
        if self.path and (is_other_file or event.startswith(tuple(FORBIDDEN_EVENTS))):
            self.events.append(f"{event} {arguments!r:.100}")


def mutate(data: bytes, generator: random.Random) -> bytes:
    """Flips bits, sets bytes, cuts, inserts, or copies a part over another."""
    changed = bytearray(data)
    for _ in range(generator.choice([1, 1, 1, 2, 4, 8])):
        start, target = (generator.randrange(len(changed) + 1) for _ in range(2))
        end = start + generator.choice([1, 4, 32, 256])
        match generator.randrange(6):
            case 0 if start < len(changed):
                changed[start] ^= 1 << generator.randrange(8)
            case 1 if start < len(changed):
                changed[start] = generator.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                changed[start:start] = generator.choice(PIECES)
            case 3:
                del changed[start:end]
            case 4:
                replaced = generator.choice([0, end - start])
                changed[target : target + replaced] = changed[start:end]
            case 5 if generator.random() < 0.2:
                del changed[start:]
    return bytes(changed)


def mutate_records(content: bytes, generator: random.Random) -> bytes:
    """Changes the pickle of an archive, and now and then its other records."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl") or generator.random() < 0.05:
                data = mutate(data, generator)
            new.writestr(name, data)
    return buffer.getvalue()


def make_case(seeds: list[bytes], generator: random.Random) -> bytes:
    seed, other = generator.choice(seeds), generator.choice(seeds)
    kind = generator.random()
    if seed.startswith(b"PK") and kind < 0.75:
        return mutate_records(seed, generator)
    if kind > 0.95:  # the beginning of one file, and the end of another
        start = generator.randrange(len(seed))
        return seed[:start] + other[generator.randrange(len(other)) :]
    return mutate(seed, generator)


def loads(path: Path) -> bool:
    """Whether the file loads; all that may be raised is the reader's error."""
    loaded = None
    try:
        loaded = load_pth(path)
        state_dict_of(loaded)
    except CheckpointFormatError as error:
        assert len(str(error)) < 5_000
    return loaded is not None


def fuzz(cases: int, seed: int, path: Path) -> int:
    """Writes the cases to `path`, which keeps the one that fails."""
    generator = random.Random(seed)
    seeds = [fixture.read_bytes() for fixture in FIXTURES] * 10
    for program in PROGRAMS:
        seeds += [assemble(program), assemble_legacy(program)]
    watch = Watch()
    for codec in ("cp437", "raw_unicode_escape"):
        codecs.lookup(codec)  # Python imports them when they are first used.
    for fixture in FIXTURES:
        loads(fixture)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = 0
    for case in range(cases):
        path.write_bytes(make_case(seeds, generator))
        start = time.perf_counter()
        watch.path = str(path)
        try:
            loaded += loads(path)
        finally:
            watch.path = ""
        seconds = time.perf_counter() - start
        assert not watch.events, f"case {case}: {watch.events[:5]}"
        assert not CANARY.exists(), f"case {case} ran a command"
        assert seconds < MAX_SECONDS, f"case {case} took {seconds:.1f} s"
    path.unlink(missing_ok=True)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # in KiB
    assert growth < 300 << 10, f"the cases took {growth} KiB"
    return loaded


if __name__ == "__main__":
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    cases, seed = [*map(int, sys.argv[1:]), 0][:2]
    kept = Path(tempfile.gettempdir(), f"fuzz_{seed}_{os.getpid()}.pth")
    try:
        print(fuzz(cases, seed, kept))
    except BaseException:
        print(f"the file of seed {seed} is kept: {kept}", file=sys.stderr)
        raise
