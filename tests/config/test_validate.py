"""What a configuration may say, and what is said about one that it may not."""

import pathlib

import pytest

from qcs_jax.config import FIELDS, Role, base_config, fields_with, flatten, validate
from qcs_jax.config.flags import read_config
from qcs_jax.models import csa
from qcs_jax.system.errors import UserError
from qcs_jax.train.losses import DISTILLATION

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
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
def test_choices(path):
    for value in CHOICES[path]:
        c = config(model__name="dcs" if value == "sdpa" else "qcs")
        put(c, {path: value})
        validate(c)
    put(c, {path: "no_such"})
    assert errors(c) == [f"{path}='no_such': choose from {', '.join(CHOICES[path])}"]


@pytest.mark.parametrize("path", RANGES)
def test_ranges(path):
    """Both ends are possible, and nothing outside."""
    low, high = RANGES[path]
    c = config(model__size="tiny", data__resize=64)
    for value in (high, low):
        put(c, {path: value})
        if path == "data.resize" and value < 64:
            assert errors(c)[0].startswith("data.resize=8: the tiny network")
        else:
            validate(c)
    for value in (low - 1, high + 1, float("nan"), None):
        put(c, {path: value})
        assert errors(c) == [f"{path}={flatten(c)[path]!r}: give {low} to {high}"]


def test_all_unknown_and_missing_fields_are_told_at_once():
    c = config()
    put(c, {"model.name": "qqs"})
    with c.unlocked(), c.train.unlocked():
        c.train.epoch = c.xyz = 3
        del c.train.log_every
    assert errors(c) == [
        "train.epoch: did you mean train.epochs?",
        "train.log_every: is missing",
        "xyz: there is no such field",
        "model.name='qqs': choose from baseline, dcs, qcs",
    ]


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
        *(
            (dict(augment__erase_area=area), ("augment.erase_area", "0 < low <= high"))
            for area in ((0.2, 0.1), (0.0, 0.1), (0.1, 1.1), (0.1,), None)
        ),
        (dict(data__name=""), ("data.name", "qcs-jax prepare")),
        (dict(name=""), ("name", "give the run a name")),
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


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_files_in_configs_are_valid(path):
    c = read_config(str(path), [])
    validate(c)
    assert c.name and flatten(c).keys() == flatten(base_config()).keys()
    assert f"--config=configs/{path.name}" in path.read_text("utf-8")


def test_base_configs_share_nothing():
    first = base_config()
    first.train.epochs = 1
    assert base_config().train.epochs != 1
