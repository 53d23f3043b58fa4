"""Who may import whom, and what a practitioner's process never has to load."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

import pytest

import qcs_jax

ROOT = pathlib.Path(qcs_jax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Each layer imports from the layers before it, never from itself or a later one; the
# files of a package import each other freely.
LAYERS = (
    ["system", "models"],
    ["images", "config"],
    ["evaluate", "input"],
    ["checkpoint"],
    ["predict", "convert"],
    ["train", "export", "figures", "serve"],
    ["benchmark", "experiment"],
    ["main", "__main__"],
)
LAYER = {module: i for i, modules in enumerate(LAYERS) for module in modules}

HEAVY = ("grain", "tensorflow_datasets", "tensorflow", "torch")
TRAINING = ("qcs_jax.train", "qcs_jax.input")
COMPUTING = (*HEAVY, "jax", "flax", "numpy")
OPTIONAL = (*HEAVY, "orbax", "scipy", "pandas", "tensorboardX", "av", "cv2")
POSIX = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty")
# Package -> what it and all that it imports must do without.
NEVER = {
    "models": ("ml_collections", "qcs_jax.config", *HEAVY),
    "evaluate": (*HEAVY, *TRAINING),
    "input": ("tensorflow", "torch", "qcs_jax.train"),
    "checkpoint": (*HEAVY, "clu", *TRAINING),
    "convert": (*HEAVY, *TRAINING),
    "predict": (*HEAVY, *TRAINING, "starlette", "uvicorn"),
    "serve": (*HEAVY, *TRAINING),
    "experiment": ("tensorflow", "torch"),
    "export": ("torch", *HEAVY[:2], *TRAINING),
    "figures": ("tensorflow", "torch", "qcs_jax.train"),
    "train": ("tensorflow", "torch", "clu", "flax.metrics"),
    "benchmark": ("tensorflow", "torch"),
}
# File -> what it imports itself must do without.
NEVER_ITSELF = {
    # It waits for the runs that it starts, beside them; figures come at the end.
    "experiment/*.py": ("jax", "flax", *HEAVY, *TRAINING),
    "convert/reader/*.py": ("torch", "pickle", "jax"),
    "images/augment.py": ("ml_collections", "flax", "PIL"),
    "images/decode.py": ("jax",),
    "evaluate/*.py": ("ml_collections", "jax"),
    "predict/align.py": ("jax",),
    "predict/detector.py": ("jax",),
    "predict/faces.py": ("jax",),
    "train/sam.py": ("ml_collections", "flax"),
}


def module_of(path):
    """`qcs_jax/input/sources.py` -> "input"; `qcs_jax/__init__.py` -> ""."""
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


@functools.cache
def imported_names(path):
    """Dotted names that a file imports anywhere, as far as they are written out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def own_modules(path):
    """Modules of the project that a file imports."""
    parts = [name.split(".") for name in imported_names(path)]
    return {p[1] for p in parts if p[0] == "qcs_jax" and len(p) > 1} & MODULES


MODULES = {module_of(path) for path in FILES} - {""}
FILES_OF = {m: [path for path in FILES if module_of(path) == m] for m in MODULES}


def reachable(module):
    """The module and all that it imports, directly or not."""
    found, waiting = set(), {module}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= {m for path in FILES_OF[module] for m in own_modules(path)} - found
    return found


def starts_with(name, prefix):
    return name == prefix or name.startswith(f"{prefix}.")


def test_every_module_has_a_layer():
    assert MODULES == LAYER.keys(), "put the new module into LAYERS"
    assert len(MODULES) <= 17


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    module = module_of(path)
    imported = own_modules(path) - {module}
    if not module:
        assert imported == {"system"}  # the package itself: all the rest is lazy
        return
    upwards = {m for m in imported if LAYER[m] >= LAYER[module]}
    assert not upwards


@pytest.mark.parametrize("module", NEVER)
def test_a_package_does_without(module):
    for path in (path for m in reachable(module) for path in FILES_OF[m]):
        check_does_without(path, NEVER[module])


@pytest.mark.parametrize("pattern", NEVER_ITSELF)
def test_a_file_does_without(pattern):
    paths = list(ROOT.glob(pattern))
    assert paths
    for path in paths:
        check_does_without(path, NEVER_ITSELF[pattern])


def check_does_without(path, forbidden):
    for name in imported_names(path):
        for prefix in forbidden:
            assert not starts_with(name, prefix), f"{path} imports {name}"


def test_windows_can_import_all():
    for path in [*FILES, *ROOT.parent.glob("data/**/*.py")]:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert not {*POSIX} & {*names, getattr(node, "module", "")}, path


def test_nothing_in_the_package_imports_builders_or_recipes():
    for path in FILES:
        for name in imported_names(path):
            assert not re.match(r"(qcs_jax\.)?(data|configs|tests)\b", name)


def modules_after(statement):
    """Names in `sys.modules` of a fresh process."""
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    python = [sys.executable, "-c", code]
    return set(subprocess.check_output(python, cwd=ROOT.parent, text=True).split())


# The modules that answer before anything is computed.
COMMANDS = (
    "__main__, qcs_jax.config.flags, qcs_jax.main, qcs_jax.input.prepare, "
    "qcs_jax.benchmark.__main__, qcs_jax.experiment.transfer.command"
)


@pytest.mark.parametrize(
    "statement, never",
    [
        (f"import qcs_jax.{COMMANDS}", (*COMPUTING, "jaxlib", "PIL")),
        ("import qcs_jax.evaluate.compare_command", (*HEAVY, "jax", "scipy", "pandas")),
        (
            "import qcs_jax.predict.interaction; qcs_jax.load; qcs_jax.Classifier",
            (*OPTIONAL, *TRAINING, "matplotlib", "sklearn"),
        ),
        (
            "import qcs_jax.input.pipeline; assert 'flax' not in sys.modules; "
            "import qcs_jax.train.loop",
            ("tensorflow", "torch"),
        ),
    ],
)
def test_a_fresh_process_does_not_load(statement, never):
    loaded = modules_after(statement)
    assert "qcs_jax.system.runtime" in loaded
    for forbidden in never:
        assert not {name for name in loaded if starts_with(name, forbidden)}


def test_public_names():
    assert dir(qcs_jax) == qcs_jax.__all__
    for name in qcs_jax.__all__:
        assert getattr(qcs_jax, name)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = qcs_jax.lod
