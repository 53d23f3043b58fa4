"""Who may import whom, and what a practitioner's process never has to load."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

import qcs_jax

ROOT = pathlib.Path(qcs_jax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# A module imports from the layers before its own, never from its own or a later one;
# the files of a package import each other freely.
LAYERS = (
    {"errors", "fields", "runtime"},
    {
        "about",
        "answers",
        "batch_layout",
        "command",
        "compilation_cache",
        "digest",
        "flag_errors",
        "image_ops",
        "images",
        "losses",
        "metrics",
        "run_log",
        "sam",
    }
    | {"torch_layout", "torch_reader"},
    {"align", "augment", "checkpoint", "faces", "measure", "models"},
    {"config", "recipe"},
    {"interaction", "variant"},
    {"explanation"},
    {"convert", "evaluate", "inference", "input"},
    {"compare", "export", "initialize", "predict", "visualize"},
    {"experiment", "report"},
    {"train"},
    {"main"},
)
LAYER = {module: i for i, modules in enumerate(LAYERS) for module in modules}

HEAVY = ("grain", "tensorflow_datasets", "tensorflow", "torch")
# Module -> what it and all that it imports must do without.
NEVER = {
    "models": ("ml_collections", "qcs_jax.config"),
    "losses": ("ml_collections", "flax"),
    "metrics": ("ml_collections", "jax"),
    "measure": ("ml_collections", "jax"),
    "sam": ("ml_collections", "flax"),
    "batch_layout": ("ml_collections", "flax"),
    "augment": ("ml_collections", "flax", "PIL"),
    "images": ("jax",),
    "faces": ("jax",),
    "align": ("jax",),
    "input": (*HEAVY[2:], "qcs_jax.train", "qcs_jax.models"),
    "torch_reader": ("torch", "pickle", "jax"),
    "convert": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "checkpoint": (*HEAVY, "clu", "qcs_jax.train", "qcs_jax.input"),
    "inference": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "predict": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "evaluate": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "compare": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "experiment": (*HEAVY, "qcs_jax.train", "qcs_jax.input"),
    "report": ("tensorflow", "torch", "qcs_jax.train"),
    "visualize": ("tensorflow", "torch", "qcs_jax.train"),
    "export": ("torch", *HEAVY[:2], "qcs_jax.train", "qcs_jax.input"),
    "train": ("tensorflow", "torch", "clu", "flax.metrics"),
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
    assert MODULES <= LAYER.keys(), "put the new module into LAYERS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    module = module_of(path)
    imported = own_modules(path) - {module}
    if not module:
        assert imported == {"runtime"}  # the package itself: all the rest is lazy
        return
    upwards = {m for m in imported if LAYER[m] >= LAYER[module]}
    assert not upwards


@pytest.mark.parametrize("module", sorted(NEVER.keys() & MODULES))
def test_a_module_does_without(module):
    for path in (path for m in reachable(module) for path in FILES_OF[m]):
        for name in imported_names(path):
            for forbidden in NEVER[module]:
                assert not starts_with(name, forbidden), f"{path} imports {name}"


def test_the_builders_are_not_part_of_the_package():
    builders = {path.stem for path in (ROOT.parent / "data").glob("*.py")}
    builders |= {path.parent.name for path in (ROOT.parent / "data").glob("*/*.py")}
    assert "prepare" in builders
    for path in FILES:
        first = {name.split(".")[0] for name in imported_names(path)}
        assert not first & (builders | {"data", "configs", "tests"})


def modules_after(statement):
    """Names in `sys.modules` of a fresh process."""
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement,never",
    [
        ("import qcs_jax", ("jax", "jaxlib", "numpy", "flax", "PIL")),
        (
            "import qcs_jax; qcs_jax.load; qcs_jax.Classifier",
            (*HEAVY, "tensorboardX", "qcs_jax.train", "qcs_jax.input"),
        ),
        ("import qcs_jax.compare.__main__", (*HEAVY, "jax", "scipy")),
        (
            "import qcs_jax.interaction",
            (*HEAVY, "matplotlib", "sklearn", "qcs_jax.train", "qcs_jax.input"),
        ),
        ("import qcs_jax.train.entry", ("tensorflow", "torch")),
    ],
)
def test_a_fresh_process_does_not_load(statement, never):
    loaded = modules_after(statement)
    assert "qcs_jax.runtime" in loaded
    assert ("qcs_jax.inference" in loaded) == ("load" in statement)
    for forbidden in never:
        assert not {name for name in loaded if starts_with(name, forbidden)}


def test_public_names():
    assert dir(qcs_jax) == qcs_jax.__all__
    for name in qcs_jax.__all__:
        assert getattr(qcs_jax, name)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = qcs_jax.lod
