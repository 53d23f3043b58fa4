"""A pickle machine that cannot run anything.

A pickle is a program for a small stack machine. Python's own machine imports and calls
whatever that program names, so a checkpoint from a stranger is a stranger's program.
This machine knows the same instructions, but its vocabulary is closed: a global is
looked up in a table that the caller passes, never imported, and one that is not in the
table becomes an inert `Stub`. The instructions are decoded by `pickletools`, which only
reads; nothing of the `pickle` module is used.

The machine also has to survive programs written to exhaust it, so each step costs fuel,
nothing recurses, and no allocation exceeds what the file pays for in bytes.

A `pickle.Unpickler` with a strict `find_class` would be shorter, and is not enough: it
decides what a name means, and all else happens as in any pickle.
- An extension code that the process has resolved before does not ask `find_class`.
- BUILD sets attributes of any object, the permitted functions and classes included.
- The memo is an array up to its largest index, so five bytes allocate gigabytes.
- Keys are hashed whatever they are: sixty nested pairs can take 2**60 steps.
- Nothing counts the steps, or what the permitted functions are made to walk over.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn

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


def _damaged(how: str) -> CheckpointFormatError:
    return CheckpointFormatError(f"its pickle is damaged ({how})")


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

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer_stacks.pop()
        return items

    def pop_some(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def mark(self, _: None) -> None:
        self.outer_stacks.append(self.stack)
        self.stack = []

    def discard(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def call(self, target: Any, arguments: Any) -> None:
        """Pushes the result of a known function; calling a stub gives the same stub.

        The cost is the length of what the function may walk over: a few bytes per call
        could pass the same long list again and again.
        """
        if not isinstance(target, Stub):
            raise _damaged("it calls something but a global")
        function = self.functions.get((target.module, target.name))
        if function is None:
            return self.push(target)
        if not isinstance(arguments, tuple):
            raise _damaged("it calls without arguments")
        lengths = (len(a) for a in arguments if isinstance(a, (list, tuple)))
        self.spend(len(arguments) + sum(lengths))
        return self.push(function(*arguments))

    def call_from_stack(self, depth: int) -> None:
        """Calls a target with positional arguments; `depth` > 2 drops the keywords."""
        target, arguments, *_ = self.pop_some(depth)
        self.call(target, arguments)


def safe_dict(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary whose keys are safe to hash and to compare."""
    return {_safe_key(key): value for key, value in pairs}


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


def _extend(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, set):
        target.update(map(_safe_key, items))
    elif not isinstance(target, Stub):
        raise _damaged("it appends to something but a list")


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, dict):
        target.update(_dict_of(items))
    elif not isinstance(target, Stub):
        raise _damaged("it sets items of something but a dict")


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return safe_dict(zip(items[::2], items[1::2], strict=True))


def _stack_global(machine: _Machine, _: None) -> None:
    module, name = machine.pop_some(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise _damaged("it names a global by something but text")
    machine.push(Stub(module, name))


def _object(machine: _Machine, _: None) -> None:
    target, *arguments = machine.pop_to_mark()
    machine.call(target, tuple(arguments))


def _no_storage(_: Any) -> NoReturn:
    raise _damaged("it refers to a storage where none may be")


_LITERALS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT"
    " STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
).split()

# What each instruction does with its decoded argument. Those about buffers outside of
# the file are not here, and refused; pickletools refuses any other byte. Stubs have no
# state, so BUILD drops what it would apply, and an extension code is a stub whatever
# this process has registered for it.
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
    "POP": _Machine.discard,
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop_some(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop_some(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop_some(3))),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "DICT": lambda m, _: m.push(_dict_of(m.pop_to_mark())),
    "FROZENSET": lambda m, _: m.push(frozenset(map(_safe_key, m.pop_to_mark()))),
    "APPEND": lambda m, _: _extend(m, [m.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: _extend(m, m.pop_to_mark())),
    "SETITEM": lambda m, _: _set_items(m, m.pop_some(2)),
    "SETITEMS": lambda m, _: _set_items(m, m.pop_to_mark()),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, i: m.push(m.memo[i])),
    "GLOBAL": lambda m, names: m.push(Stub(*names.split(" ", 1))),
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"), lambda m, code: m.push(Stub("extension", str(code)))
    ),
    "INST": lambda m, names: m.call(Stub(*names.split(" ", 1)), tuple(m.pop_to_mark())),
    "OBJ": _object,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.call_from_stack(2)),
    "NEWOBJ_EX": lambda m, _: m.call_from_stack(3),
    "BUILD": lambda m, _: m.stack.pop(),
    "PERSID": lambda m, identifier: m.push(m.persistent_load(identifier)),
    "BINPERSID": lambda m, _: m.push(m.persistent_load(m.stack.pop())),
}


def run_pickle(
    stream: BinaryIO,
    functions: Functions = MappingProxyType({}),
    persistent_load: Callable[[Any], Any] = _no_storage,
) -> Any:
    """What a pickle describes, in plain containers; executes nothing that it names.

    The stream is left right behind the pickle; what it allocates for a read must not be
    more than is left of the file. `functions`, by (module, name), are the only globals
    that do something, and must check their arguments, as `persistent_load` its id.
    """
    machine = _Machine(functions, persistent_load)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.spend(1)
            _STEPS[opcode.name](machine, argument)
        # The last opcode was STOP, or genops would have raised.
        return machine.stack.pop()
    except CheckpointFormatError:
        raise
    except Exception as error:
        # Without the cause: its text may hold as much of the file as it likes.
        raise _damaged(type(error).__name__) from None
