"""A pickle machine that cannot run anything.

A pickle is a program for a small stack machine. Python's own machine imports and calls
whatever that program names, so a checkpoint from a stranger is a stranger's program.
This machine knows the same instructions, but its vocabulary is closed: a global is
looked up in a table that the caller passes, never imported, and one that is not in the
table becomes an inert `Stub`. The instructions are decoded by `pickletools`, which only
reads; nothing of the `pickle` module is used. Programs written to exhaust the machine
are refused: each step costs fuel, nothing recurses, and no allocation exceeds what the
file pays for in bytes.

A `pickle.Unpickler` with a strict `find_class` would be shorter, and is not enough:
- An extension code that the process has resolved before does not ask `find_class`.
- BUILD sets attributes of any object, the permitted functions and classes included.
- The memo is an array up to its largest index, so five bytes allocate gigabytes.
- Keys are hashed whatever they are: sixty nested pairs can take 2**60 steps.
- Nothing counts the steps, or what the permitted functions are made to walk over.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from qcs_jax.system.errors import UserError

# The remedies of most problems.
DOWNLOAD = "Download or copy the file again"
SAVE = "Save the weights in PyTorch with torch.save(model.state_dict(), path)"

# A published checkpoint with its optimizer takes about 1e5 steps.
MAX_STEPS = 1_000_000

# A dictionary compares and hashes its keys, which an opponent may choose. Longer text
# and larger integers (whose hashes wrap around) are no keys of a checkpoint.
_MAX_KEY_LENGTH = 1_024
_MAX_KEY_INTEGER = 2**60

Functions = Mapping[tuple[str, str], Callable[..., Any]]


class CheckpointFormatError(UserError):
    """A checkpoint that cannot, or must not, be read."""

    def __init__(self, problem: str, remedy: str = DOWNLOAD) -> None:
        super().__init__(f"{problem}. {remedy}.")
        self.problem, self.remedy = problem, remedy


def shorten(text: str, limit: int = 120) -> str:
    """Returns `text` fit for an error message: cut, and without control characters."""
    return ascii(text[:limit])[1:-1] + ("..." if len(text) > limit else "")


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Stub:
    """Stands for a global that was not looked up, and for whatever it would build."""

    module: str
    name: str

    @property
    def qualified_name(self) -> str:
        """`module.name`, shortened to what is safe to print."""
        return f"{shorten(self.module)}.{shorten(self.name)}"

    def __repr__(self) -> str:
        return f"Stub({self.qualified_name!r})"


@dataclasses.dataclass
class _Machine:
    """One run: a stack, the stacks below each mark, and the memo."""

    functions: Functions
    persistent_load: Callable[[Any], Any]
    stack: list[Any] = dataclasses.field(default_factory=list)
    outer_stacks: list[list[Any]] = dataclasses.field(default_factory=list)
    memo: dict[int, Any] = dataclasses.field(default_factory=dict)
    fuel: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Pays for work; a program that is out of fuel is refused."""
        self.fuel -= steps
        if self.fuel < 0:
            raise CheckpointFormatError(
                f"its pickle takes more than {MAX_STEPS:,} steps, which no state_dict"
                " needs",
                SAVE,
            )

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """The topmost values, the lowest of them first."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer_stacks.pop()
        return items

    def mark(self, _: None) -> None:
        self.outer_stacks.append(self.stack)
        self.stack = []

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError
        self.push(Stub(module, name))

    def call(self, target: Any, arguments: Any, _keywords: Any = None) -> None:
        """Pushes the result of a known function; calling a stub gives the same stub.

        The cost is the length of what the function may walk over: a few bytes per call
        could pass the same long list again and again.
        """
        if not (isinstance(target, Stub) and isinstance(arguments, tuple)):
            raise TypeError
        function = self.functions.get((target.module, target.name))
        if function is None:
            return self.push(target)
        lengths = (len(a) for a in arguments if isinstance(a, (list, tuple)))
        self.spend(len(arguments) + sum(lengths))
        return self.push(function(*arguments))

    def add(self, items: list[Any]) -> None:
        """Adds items, or keys and values in turn, to the container on the stack."""
        match self.stack[-1]:
            case list() as target:
                target.extend(items)
            case set() as target:
                target.update(map(_safe_key, items))
            case dict() as target:
                target.update(_dict_of(items))
            case Stub():
                pass
            case _:
                raise TypeError


def safe_dict(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary whose keys are safe to hash and to compare."""
    return {_safe_key(key): value for key, value in pairs}


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return safe_dict(zip(items[::2], items[1::2], strict=True))


def _safe_key(key: Any) -> Any:
    """`key`, or a stub where hashing or comparing it could take for ever.

    Python hashes a tuple anew each time, through all of its levels: sixty nested pairs
    of one another would take 2**60 steps. Text hashes are salted, integers are not.
    """
    if key is None or isinstance(key, (bool, float, Stub)):
        return key
    if isinstance(key, int) and -_MAX_KEY_INTEGER < key < _MAX_KEY_INTEGER:
        return key
    if isinstance(key, (str, bytes)) and len(key) <= _MAX_KEY_LENGTH:
        return key
    return Stub("key", type(key).__name__)


_LITERALS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
    " STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
).split()

# What each instruction does with its decoded argument. Stubs have no state, so BUILD
# drops what it would apply. Not here, and so refused, is what PyTorch never writes:
# old-style classes, extension codes, persistent ids of text, buffers outside of the
# file. `pickletools` refuses any other byte.
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    **dict.fromkeys(_LITERALS, _Machine.push),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "MARK": _Machine.mark,
    "POP": lambda m, _: m.stack.pop() if m.stack else m.pop_to_mark(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "DICT": lambda m, _: m.push(_dict_of(m.pop_to_mark())),
    "FROZENSET": lambda m, _: m.push(frozenset(map(_safe_key, m.pop_to_mark()))),
    "APPEND": lambda m, _: m.add(m.pop(1)),
    "SETITEM": lambda m, _: m.add(m.pop(2)),
    **dict.fromkeys(
        ("APPENDS", "ADDITEMS", "SETITEMS"), lambda m, _: m.add(m.pop_to_mark())
    ),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, i: m.push(m.memo[i])),
    "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.pop(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.call(*m.pop(2))),
    "NEWOBJ_EX": lambda m, _: m.call(*m.pop(3)),
    "BUILD": lambda m, _: m.stack.pop(),
    "BINPERSID": lambda m, _: m.push(m.persistent_load(m.stack.pop())),
}


def run_pickle(
    stream: BinaryIO, functions: Functions, persistent_load: Callable[[Any], Any]
) -> Any:
    """What a pickle describes, in plain containers; executes nothing that it names.

    The stream is left right behind the pickle; what it allocates for a read must not be
    more than is left of the file. `functions`, by (module, name), are the only globals
    that do something, and must check their arguments, as `persistent_load` its id. A
    damaged pickle raises any exception, whose text may hold as much of it as it likes.
    """
    machine = _Machine(functions, persistent_load)
    for opcode, argument, _ in pickletools.genops(stream):
        machine.spend(1)
        _STEPS[opcode.name](machine, argument)
    return machine.stack.pop()  # The last was STOP, or genops would have raised.
