"""The notebooks: they run from top to bottom, and are committed as they should be."""

import itertools
import json
import os
import re
import runpy
import shutil

import execute_notebooks
import nbformat
import pytest
import small

from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import create_model
from qcs_jax.system.datasets import DATASETS
from qcs_jax.train.run import create_optimizer
from qcs_jax.train.step import TrainState

ROOT = execute_notebooks.ROOT
NAMES = [path.stem for path in sorted(execute_notebooks.FOLDER.glob("*.ipynb"))]
CLASS_NAMES = DATASETS["synthetic_faces"].class_names


def read(name):
    return nbformat.read(execute_notebooks.FOLDER / f"{name}.ipynb", as_version=4)


def outputs_of(notebook, kind):
    return [x for cell in code(notebook) for x in cell.outputs if x.output_type == kind]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The run of `make demo`, but for its weights, which are random."""
    config = runpy.run_path(str(ROOT / "configs" / "demo.py"))["get_config"]()
    model = create_model(config, len(CLASS_NAMES))
    variables = small.variables(model)
    state = TrainState.create(variables, create_optimizer(config))
    items = {
        "params": state.params,
        "batch_stats": state.batch_stats,
        "train": {"step": state.step, "opt_state": state.opt_state},
    }
    description = describe(config, CLASS_NAMES, model.image_size)
    run = tmp_path_factory.mktemp("runs") / "demo"
    with Checkpoints(run, keep=1, metric="accuracy") as checkpoints:
        checkpoints.save(1, items, description, {"accuracy": 1 / len(CLASS_NAMES)})
    return run


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name, demo, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    shutil.copytree(demo, tmp_path / "runs" / "demo")
    notebook = read(name)
    execute_notebooks.execute(notebook, tmp_path / "notebooks")
    said = [x.text for x in outputs_of(notebook, "stream") if x.name == "stderr"]
    assert said == []
    shown = [len(outputs_of(x, "display_data")) for x in (notebook, read(name))]
    assert shown[0] == shown[1]  # a figure is not a line of text


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_small_and_with_clean_outputs(name):
    path = execute_notebooks.FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < 300_000
    notebook = read(name)
    nbformat.validate(notebook)
    execute_notebooks.tidy(notebook)  # as the command writes it
    written = json.loads(nbformat.writes(notebook))
    assert json.loads(path.read_text("utf-8")) == written
    ids = [cell.id for cell in notebook.cells]
    assert all(re.fullmatch("[a-z-]+", id) for id in ids) and len(set(ids)) == len(ids)
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))  # all, once, in order
    assert outputs_of(notebook, "error") == []
    assert {x.name for x in outputs_of(notebook, "stream")} == {"stdout"}
    texts = [x.text for x in outputs_of(notebook, "stream")]
    shown = [outputs_of(notebook, x) for x in ("display_data", "execute_result")]
    for x in itertools.chain(*shown):
        texts += [str(data) for kind, data in x.data.items() if kind != "image/png"]
    for text in texts:
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|usr)\b", text), text
        assert not re.search(r"0x[0-9a-f]{6}|Warning|20\d\d-\d\d", text), text
        assert len(text) < 2000


def test_the_kernel_is_that_of_a_user(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "cache")
    monkeypatch.setenv("XLA_FLAGS", "--a=1 --xla_force_host_platform_device_count=8")
    found = execute_notebooks.environment(str(tmp_path))
    assert found["XLA_FLAGS"] == "--a=1"
    assert found["JAX_COMPILATION_CACHE_DIR"] == "cache"
    assert not found.keys() & {"JAX_NUMPY_RANK_PROMOTION", "MPLBACKEND"}
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
