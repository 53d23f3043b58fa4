"""What a configuration may say, and what is said about one that it may not."""

import pytest

from qcs_jax.config import FIELDS, Role, base_config, fields_with, flatten, validate
from qcs_jax.models import csa
from qcs_jax.system.errors import UserError
from qcs_jax.train.losses import DISTILLATION

CHOICES = {name: field.choices for name, field in FIELDS.items() if field.choices}
RANGES = {name: field.range for name, field in FIELDS.items() if field.range}


def config(changes=()):
    """A valid one, with changes such as `{"train.epochs": 3}`."""
    c = base_config()
    c.data.name = "synthetic_faces/balanced"
    with c.ignore_type():
        c.update_from_flattened_dict(dict(changes))
    return c


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
    # A trained network may meet other classes.
    validate(config({"data.label_map": "by_name"}), training=False)


def test_every_number_has_a_range_and_every_choice_a_function():
    numbers = {x for x, field in FIELDS.items() if type(field.default) in (int, float)}
    assert numbers == RANGES.keys()
    assert {*csa.METRICS, "sdpa"} == {*CHOICES["model.interaction"]}
    assert {"none", *DISTILLATION} == {*CHOICES["loss.distillation"]}


def test_roles():
    """Written out once more, so that a change of the table is a decision."""
    data = {name for name in FIELDS if name.startswith("data.")}
    fixed = data - {"data.dir", "data.workers"} | {"seed", "train.batch_size"}
    fixed |= {"optimizer.average"}
    assert set(fields_with(Role.FIXED)) == fixed
    rates = {"model.dropout", "model.cross_dropout", "model.drop_projection"}
    network = {name for name in FIELDS if name.startswith("model.")} - rates
    assert set(fields_with(Role.NETWORK)) == network
    assert set(fields_with(Role.INPUT)) == {"dtype", "data.resize"}
    held_out = "seed data.name data.train_split data.val_fraction data.val_split"
    assert set(fields_with(Role.HELD_OUT)) == set(held_out.split())


def test_choices_and_ranges():
    """All choices and both ends are possible, and nothing else."""
    for path, choices in CHOICES.items():
        for value in choices:
            model = "dcs" if value == "sdpa" else "qcs"
            validate(config({"model.name": model, path: value}))
        [line] = errors(config({path: "no_such"}))
        assert line == f"{path}='no_such': choose from {', '.join(choices)}"
    for path, (low, high) in RANGES.items():
        for value in (high, low):
            if (path, value) != ("data.resize", low):  # less than any network sees
                validate(config({path: value}))
        for value in (low - 1, high + 1, float("nan"), None):
            c = config({path: value})
            assert errors(c) == [f"{path}={flatten(c)[path]!r}: give {low} to {high}"]


def test_all_unknown_and_missing_fields_are_told_at_once():
    c = config({"model.name": "qqs"})
    with c.unlocked(), c.train.unlocked():
        c.train.epoch = c.xyz = 3
        del c.train.log_every
    assert errors(c) == [
        "train.epoch: did you mean train.epochs?",
        "train.log_every: is missing",
        "xyz: there is no such field",
        "model.name='qqs': choose from baseline, dcs, qcs",
    ]


# Others are in tests/faults/test_command_lines.py.
@pytest.mark.parametrize(
    "changes, fix",
    [
        ({"data.resize": 223}, "at least 224"),
        ({"data.resize": 47, "model.size": "tiny"}, "crops of 48x48"),
        ({"model.interaction": "sdpa"}, "model.name=dcs"),
        ({"data.label_map": "by_name"}, "is for evaluation"),
        ({"data.val_split": "validation", "data.val_fraction": 0.1}, "one of them"),
        ({"data.val_split": "train"}, "is trained on"),
        ({"optimizer.warmup": 2.0, "train.epochs": 2}, "give fewer epochs"),
        *(
            ({"augment.erase_area": area}, "0 < low <= high")
            for area in ((0.2, 0.1), (0.0, 0.1), (0.1, 1.1), (0.1,), None)
        ),
    ],
    ids=str,
)
def test_contradictions(changes, fix):
    (line,) = errors(config(changes))
    assert line.startswith(next(iter(changes))) and fix in line
    also = {"model.name": "baseline", "loss.distillation": "kl", "name": ""}
    assert len(errors(config(changes | also))) == 3  # told together
