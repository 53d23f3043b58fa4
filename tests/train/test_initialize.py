"""Training that starts from another checkpoint."""

import jax
import numpy as np
import pytest
import small
import toy

from qcs_jax import convert, models
from qcs_jax.checkpoint import load_variables
from qcs_jax.checkpoint import weights as weights_file
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import base_config, flags
from qcs_jax.convert.pth_writer import save_pth
from qcs_jax.system.errors import UserError
from qcs_jax.train import loop
from qcs_jax.train.initialize import PARTS, initialize, warnings_of
from qcs_jax.train.run import Run

FRESH, SAVED = 1, 2  # seeds


def names(k=7):
    return tuple(f"class {i}" for i in range(k))


def pth(path, model):
    """Saves random weights as PyTorch would; returns them."""
    variables = small.variables(model, SAVED)
    save_pth(path, convert.to_torch(variables))
    return variables


def orbax(path, model):
    """Saves random weights as training would; returns them."""
    variables = small.variables(model, SAVED)
    config = base_config()
    items = {**variables, "train": {"step": np.int32(3)}}
    with Checkpoints(path, keep=1, metric="accuracy") as checkpoints:
        description = describe(config, names(model.num_classes), model.image_size)
        description["started_from"] = {"network": "backbone"}
        checkpoints.save(3, items, description, {"accuracy": 0.5})
    return variables


def assert_only_fresh(merged, saved, fresh, *parts):
    """Everything is as saved, but for what is in `parts`."""
    merged, saved, fresh = (small.flat(tree) for tree in (merged, saved, fresh))
    assert merged.keys() == fresh.keys()
    for name, value in merged.items():
        is_fresh = any(f"{name}/".partition("/")[2].startswith(f"{p}/") for p in parts)
        np.testing.assert_array_equal(value, (fresh if is_fresh else saved)[name], name)


BASELINE, DCS, QCS = (small.create(name) for name in ("baseline", "dcs", "qcs"))
HEADS = ["base/vit/head", "cross/vit/head"]
CSA = [f"cross/csa{level}" for level in (1, 2, 3)]
THETAS = [f"{part}/theta" for part in CSA]
CROSS = ", ".join([*CSA, "cross/vit"])
BASE = "base/backbone, base/tokens, base/vit"
OTHER_CLASSES = "fresh, the checkpoint has other classes"
NOT_THERE = "fresh, the checkpoint has none"
NOT_HERE = "not used, this network has none"


@pytest.mark.parametrize("save", [pth, orbax])
@pytest.mark.parametrize(
    "old, new, parts, said",
    [
        (QCS, QCS, [], []),
        (
            QCS.clone(num_classes=8),
            QCS,
            HEADS,
            [f"{', '.join(HEADS)}: {OTHER_CLASSES}"],
        ),
        (DCS, QCS, THETAS, [f"{', '.join(THETAS)}: {NOT_THERE}"]),
        (QCS, BASELINE, [], [f"{CROSS}: {NOT_HERE}"]),
        (
            DCS,
            DCS.clone(connection="gap"),
            ["cross/head"],
            [f"cross/head: {NOT_THERE}", f"cross/vit: {NOT_HERE}"],
        ),
    ],
)
def test_parts_come_from_the_checkpoint_or_stay_fresh(
    old, new, parts, said, save, tmp_path
):
    path = tmp_path / "saved"
    saved, fresh = save(path, old), small.variables(new, FRESH)
    merged, notes, _ = initialize(fresh, path, names())
    assert_only_fresh(merged, saved, fresh, *parts)
    assert notes[0].startswith(BASE) and notes[0].endswith(f": weights of {path}")
    assert notes[1:] == said


@pytest.mark.parametrize("form", ["run", "file"])
def test_the_same_classes_in_another_order(tmp_path, form):
    model, path = QCS, tmp_path / "saved"
    saved, fresh = orbax(path, model), small.variables(model, FRESH)
    variables, description, _ = load_variables(path)
    if form == "file":
        path = tmp_path / "saved.safetensors"
        weights_file.save(path, variables, description | {"step": 3})
    order = [3, 0, 6, 1, 5, 2, 4]
    ours = [names()[i] for i in order]
    merged, notes, source = initialize(fresh, path, ours)
    assert len(notes) == 1
    keys = ("config", "started_from")
    assert source == {key: description[key] for key in keys}
    for branch in ("base", "cross"):
        head, before = (x["params"][branch]["vit"]["head"] for x in (merged, saved))
        np.testing.assert_array_equal(head["bias"], before["bias"][order])
        np.testing.assert_array_equal(head["kernel"], before["kernel"][:, order])
    assert_only_fresh(merged, saved, merged, *HEADS)


def test_as_many_other_classes_have_fresh_heads(tmp_path):
    saved = orbax(tmp_path, QCS)
    fresh = small.variables(QCS, FRESH)
    ours = [*names()[:-1], "contempt"]
    merged, notes, _ = initialize(fresh, tmp_path, ours)
    assert_only_fresh(merged, saved, fresh, *HEADS)
    assert OTHER_CLASSES in notes[1]


def test_backbone_alone(tmp_path):
    path, model = tmp_path / "ir50.pth", QCS
    saved, fresh = small.variables(model, SAVED), small.variables(model, FRESH)
    state_dict = convert.to_torch(saved)
    save_pth(path, {k: x for k, x in state_dict.items() if k.startswith("ir_back.")})
    merged, notes, _ = initialize(fresh, path, names())
    others = [part for part in PARTS if part != "base/backbone"]
    assert_only_fresh(merged, saved, fresh, *others)
    assert notes == [
        f"base/backbone: weights of {path}",
        "base/tokens, base/vit, cross/csa1, cross/csa2, cross/csa3, cross/vit: "
        + NOT_THERE,
    ]


def test_the_backbone_that_comes_with_the_package():
    fresh = small.variables(models.create("qcs", "medium"), FRESH)
    merged, notes, _ = initialize(fresh, "faces", names())
    saved, *_ = load_variables("faces")
    assert_only_fresh(merged, saved, fresh, *(x for x in PARTS if "backbone" not in x))
    assert notes[0] == "base/backbone: weights of faces"


@pytest.mark.parametrize(
    "options, fault",
    [
        ({"features": 32}, "base/vit/block0/norm2/bias is [16] there, [32] here"),
        ({"depth": 2}, "params/base/vit/block1/norm2/bias is missing there, [16] here"),
        ({"image_size": 64}, "positions is [1, 13, 16] there, [1, 49, 16] here"),
    ],
)
def test_another_size_is_one_error(tmp_path, options, fault):
    pth(tmp_path / "x.pth", QCS)
    fresh = small.variables(small.create("qcs", **options), FRESH)
    with pytest.raises(UserError, match="is of a network of another size") as error:
        initialize(fresh, tmp_path / "x.pth", names())
    assert fault in str(error.value) and len(str(error.value)) < 6000


@pytest.mark.parametrize(
    "warned, recipe",
    [
        (True, "raf"),
        (False, "raf --config.init_from=ir50.pth"),
        (False, "raf --config.optimizer.learning_rate=1e-4"),
        (False, "raf:qcs,small"),
    ],
)
def test_full_size_from_random_weights(warned, recipe):
    recipe, *overrides = recipe.split()
    assert len(warnings_of(flags.read_config(recipe, overrides))) == warned


def test_order_of_the_start(tmp_path, capsys, monkeypatch):
    """A run's own checkpoint, else init_from, else fresh weights; all say which."""
    model, path = small.create("baseline", num_classes=3), tmp_path / "x.pth"
    initial = small.variables(model, FRESH)
    # Compiling the real initialisation takes far longer than all else here.
    monkeypatch.setattr(loop.models, "init", lambda model, key: initial)
    monkeypatch.setattr(loop, "warnings_of", lambda config: ["it hardly learns"])

    def start(init_from=""):
        run = Run.of(toy.config(init_from=str(init_from)))
        with Checkpoints(tmp_path / "a", keep=1, metric="accuracy") as checkpoints:
            return loop._restored(run, checkpoints) or loop._fresh(run)

    saved = pth(path, model)
    fresh, described = start()
    assert described["started_from"] is None
    assert capsys.readouterr().out == "warning: it hardly learns\n"
    small.assert_equal(fresh.variables, initial)
    started, described = start(path)
    assert described["started_from"] == {"network": "baseline"}
    small.assert_equal(started.variables, saved)
    note = f"note: base/backbone, base/tokens, base/vit: weights of {path}"
    assert note in capsys.readouterr().out
    assert int(started.step) == 0
    jax.tree.map(np.testing.assert_array_equal, started.opt_state, fresh.opt_state)

    with Checkpoints(tmp_path / "a", keep=1, metric="accuracy") as checkpoints:
        checkpoints.save(5, loop._items(started), described, {"accuracy": 0.5})
    path.unlink()  # not read when the run has a checkpoint of its own
    resumed, described = start()
    assert described["started_from"] == {"network": "baseline"}
    assert "warning" not in capsys.readouterr().out  # it would come too late
    small.assert_equal(resumed.variables, saved)
