"""What a configuration may say, and what is said about one that it may not."""

import importlib.util
import pathlib

import pytest

from qcs_jax.config import FIELDS, Role, base_config, fields_with, flatten, validate
from qcs_jax.models import csa
from qcs_jax.system.errors import UserError
from qcs_jax.train.losses import DISTILLATION

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.glob("*.py"))
CHOICES = {name: field.choices for name, field in FIELDS.items() if field.choices}
RANGES = {name: field.range for name, field in FIELDS.items() if field.range}


def config(**changes):
    """A valid one, with changes given as `train__epochs=3`."""
    c = base_config()
    c.data.name = "synthetic_faces/balanced"
    put(c, {path.replace("__", "."): value for path, value in changes.items()})
    return c


def put(c, changes):
    with c.ignore_type():
        for path, value in changes.items():
            c.update_from_flattened_dict({path: value})


def errors(c):
    """The lines under the headline, one per error."""
    with pytest.raises(UserError) as caught:
        validate(c)
    headline, *lines = str(caught.value).splitlines()
    assert headline == "this configuration cannot run:"
    return [line.strip() for line in lines]


def test_defaults_lack_only_the_data_set():
    (line,) = errors(base_config())
    assert line.startswith("data.name: give the name")
    validate(config())


def test_flatten_lists_every_field():
    flat = flatten({"a": 1, "b": {"c": 2, "d": {"e": (3, 4)}}})
    assert flat == {"a": 1, "b.c": 2, "b.d.e": (3, 4)}
    assert flatten(base_config()) == flatten(base_config().to_dict())


def test_every_number_has_a_range():
    numbers = {
        name
        for name, field in FIELDS.items()
        if isinstance(field.default, int | float)
        and not isinstance(field.default, bool)
    }
    assert numbers == RANGES.keys()


def test_every_choice_is_a_function_or_a_special_case():
    assert {*csa.METRICS, "sdpa"} == {*CHOICES["model.interaction"]}
    assert {"none", *DISTILLATION} == {*CHOICES["loss.distillation"]}


def test_roles():
    """Written out once more, so that a change of the table is a decision."""
    data = {name for name in FIELDS if name.startswith("data.")}
    free = {"data.dir", "data.workers"}
    assert set(fields_with(Role.FIXED)) == data - free | {"seed", "train.batch_size"}
    rates = {"model.dropout", "model.cross_dropout", "model.drop_projection"}
    network = {name for name in FIELDS if name.startswith("model.")} - rates
    assert set(fields_with(Role.NETWORK)) == network
    assert set(fields_with(Role.INPUT)) == {"dtype", "data.resize"}
    held_out = {"seed", "data.name", "data.train_split", "data.val_fraction"}
    held_out |= {"data.val_split"}
    assert set(fields_with(Role.HELD_OUT)) == held_out
    tested = {"data.name", "data.test_split", "data.test_list", "data.label_map"}
    assert set(fields_with(Role.TESTED)) == tested
    told = {"train.keep_checkpoints", "train.log_every", "train.tensorboard"}
    told |= {"train.remat"}
    neutral = free | told | {"name", "train.eval_batch_size"}
    assert set(fields_with(Role.NEUTRAL)) == neutral


@pytest.mark.parametrize("path", CHOICES)
def test_a_choice_that_does_not_exist(path):
    c = config()
    put(c, {path: "no_such"})
    (line,) = errors(c)
    assert line == f"{path}='no_such': choose from {', '.join(CHOICES[path])}"


@pytest.mark.parametrize(
    "path,value",
    [(path, value) for path, values in CHOICES.items() for value in values],
)
def test_every_choice_is_possible(path, value):
    c = config()
    if value == "sdpa":
        c.model.name = "dcs"
    put(c, {path: value})
    validate(c)


@pytest.mark.parametrize("path", RANGES)
@pytest.mark.parametrize("side", ["below", "above", "nan", "none"])
def test_a_number_out_of_its_range(path, side):
    low, high = RANGES[path]
    outside = {"below": low - 1, "above": high + 1, "nan": float("nan"), "none": None}
    c = config()
    put(c, {path: outside[side]})
    (line,) = errors(c)
    assert line == f"{path}={flatten(c)[path]!r}: give {low} to {high}"


@pytest.mark.parametrize("path", RANGES)
def test_both_ends_of_a_range_are_possible(path):
    for value in RANGES[path]:
        c = config(model__size="tiny", data__resize=64)
        put(c, {path: value})
        if path == "data.resize" and value < 64:
            assert errors(c)[0].startswith("data.resize=8: the tiny network")
        else:
            validate(c)


@pytest.mark.parametrize(
    "path,hint",
    [
        ("train.epoch", "did you mean train.epochs?"),
        ("optimizer.learning_rat", "did you mean optimizer.learning_rate?"),
        ("xyz", "there is no such field"),
    ],
)
def test_an_unknown_field_suggests_the_close_one(path, hint):
    c = config()
    with c.unlocked():
        *parents, name = path.split(".")
        parent = c[parents[0]] if parents else c
        with parent.unlocked():
            parent[name] = 3
    assert errors(c) == [f"{path}: {hint}"]


def test_a_missing_field_is_named():
    c = config()
    with c.train.unlocked():
        del c.train.epochs
    assert errors(c) == ["train.epochs: is missing"]


def test_all_errors_are_told_at_once():
    wrong = {"model.name": "qqs", "train.epochs": 0, "augment.flip": 2.0}
    c = config()
    put(c, wrong)
    with c.unlocked():
        c.sede = c.nane = 1
    lines = errors(c)
    for path in [*wrong, "sede", "nane"]:
        assert sum(line.startswith(path) for line in lines) == 1
    assert len(lines) == 5


@pytest.mark.parametrize(
    "changes,expected",
    [
        (dict(data__resize=223), ("data.resize=223", "at least 224")),
        (
            dict(data__resize=47, model__size="tiny"),
            ("data.resize=47", "crops of 48x48"),
        ),
        (dict(model__interaction="sdpa"), ("model.interaction", "model.name=dcs")),
        (
            dict(loss__distillation="kl", model__name="baseline"),
            ("loss.distillation", "no cross branch"),
        ),
        (dict(augment__erase_area=(0.2, 0.1)), ("augment.erase_area", "low <= high")),
        (dict(augment__erase_area=(0.0, 0.1)), ("augment.erase_area", "0 < low")),
        (dict(augment__erase_area=(0.1, 1.1)), ("augment.erase_area", "high <= 1")),
        (dict(augment__erase_area=(0.1,)), ("augment.erase_area=(0.1,)", "low <=")),
        (dict(augment__erase_area=None), ("augment.erase_area=()", "low <=")),
        (dict(data__name=""), ("data.name", "qcs_jax.prepare")),
        (dict(data__label_map="by_name"), ("data.label_map", "is for evaluation")),
        (
            dict(data__val_split="validation", data__val_fraction=0.1),
            ("data.val_split=validation", "give one of them"),
        ),
        (dict(data__val_split="train"), ("data.val_split=train", "is trained on")),
        (
            dict(optimizer__warmup=2.0, train__epochs=2),
            ("optimizer.warmup=2.0", "give fewer epochs"),
        ),
    ],
    ids=str,
)
def test_contradictions(changes, expected):
    (line,) = errors(config(**changes))
    field, fix = expected
    assert line.startswith(field) and fix in line


def test_a_trained_network_may_meet_other_classes():
    validate(config(data__label_map="by_name"), training=False)


def test_contradictions_are_told_together():
    c = config(
        data__resize=100, model__interaction="sdpa", augment__erase_area=(0.5, 0.2)
    )
    assert len(errors(c)) == 3


def test_there_are_files_to_start_from():
    assert {"demo.py", "folder.py"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_files_in_configs_are_valid(path):
    spec = importlib.util.spec_from_file_location(f"configs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    c = module.get_config()
    validate(c)
    assert c.name and flatten(c).keys() == flatten(base_config()).keys()
    assert f"--config=configs/{path.name}" in module.__doc__


def test_base_configs_share_nothing():
    first = base_config()
    first.train.epochs = 1
    assert base_config().train.epochs != 1
