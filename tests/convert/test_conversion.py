"""state_dicts of published networks to variables, and back."""

import copy
import functools
import re

import jax
import ml_dtypes
import numpy as np
import published
import pytest
import small

from qcs_jax import convert, models
from qcs_jax.models import torch_layout
from qcs_jax.system.errors import UserError

UNITS = (2, 1, 3)


@functools.cache
def _network(name, options):
    variables = small.variables(small.create(name, **dict(options)))
    return variables, convert.to_torch(variables)


def network(name="qcs", **options):
    """Random variables of a small network, and its state_dict."""
    return copy.deepcopy(_network(name, tuple(options.items())))


def refused(state_dict):
    with pytest.raises(UserError) as error:
        convert.from_torch(state_dict)
    return str(error.value)


@pytest.mark.parametrize(
    "name, classes, live, base",
    [("qcs", 7, 66_810_513, 40_700_039), ("dcs", 8, 66_812_048, 40_700_808)],
)
def test_published_layouts(name, classes, live, base):
    layout = published.read(f"layout_{name}_{classes}")
    # Views of one number: as large as the published arrays, and without their memory.
    zeros = {key: np.broadcast_to(np.float32(0), s) for key, s in layout.items()}
    conversion = convert.convert_state_dict(zeros)
    assert (conversion.network, conversion.size_name) == (name, "full")
    assert conversion.model.num_classes == classes
    params = conversion.variables["params"]
    assert models.count({"params": params}) == live
    assert models.count({"params": params["base"]}) == base
    # What the way back adds is what was ignored.
    assert conversion.ignored_parameters == 16_063_606
    added = torch_layout.dead_arrays(conversion.model) | torch_layout.counters(layout)
    assert {key: list(x.shape) for key, x in added.items()} == {
        key: layout[key] for key in conversion.ignored
    }
    assert (added["ir_back.output_layer.0.running_var"] == 1).all()


@pytest.mark.parametrize("name", models.BRANCHES)
def test_round_trip_is_exact(name):
    variables, state_dict = network(name, num_classes=5, units=UNITS, depth=2)
    conversion = convert.convert_state_dict(state_dict)
    assert conversion.network == name
    small.assert_equal(conversion.variables, variables)
    on_device = jax.tree.map(jax.numpy.asarray, conversion.variables)
    small.assert_equal(convert.to_torch(on_device), state_dict)
    for key, array in state_dict.items():
        counter = key.endswith("num_batches_tracked")
        assert array.dtype == (np.int64 if counter else np.float32)
        array[...] = 0  # no memory is shared
    small.assert_equal(conversion.variables, variables)
    assert all(x.flags.c_contiguous for x in jax.tree.leaves(conversion.variables))


def flat_body(key):
    """`body2.0` of `UNITS` -> `body.2`, as ArcFace's own files count."""
    for stage in range(4):
        for unit in range(3):
            number = sum(UNITS[:stage]) + unit
            key = key.replace(f"body{stage + 1}.{unit}.", f"body.{number}.")
    return key


def test_spellings():
    """Newer names of the embeddings, and a flat body, in a data-parallel model."""

    def spell(key):
        key = re.sub("embed_([qkv])", lambda m: f"embed_{'qkv'.index(m[1]) + 1}", key)
        return f"module.{flat_body(key)}"

    variables, state_dict = network(units=UNITS)
    respelled = {spell(key): x for key, x in state_dict.items()}
    assert "module.embed_1.0.weight" in respelled
    small.assert_equal(convert.from_torch(respelled), variables)


@pytest.mark.parametrize("respell", [str, flat_body])
@pytest.mark.parametrize("prefix", ["", "ir_back.", "module."])
def test_backbone_alone(respell, prefix):
    variables, state_dict = network(units=UNITS)
    file = {
        prefix + respell(key.removeprefix("ir_back.")): x
        for key, x in state_dict.items()
        if key.startswith("ir_back.")
    }
    for unit in range(3):  # a fourth stage, as in files for face recognition
        name = f"{prefix}{respell(f'body4.{unit}.res_layer.')}"
        file[f"{name}3.weight"] = np.ones((12, 12, 3, 3), np.float32)
        file[f"{name}4.num_batches_tracked"] = np.array(5)
    conversion = convert.convert_state_dict(file)
    assert conversion.network == "backbone"
    assert conversion.model.widths == small.SIZES["widths"]
    for collection in ("params", "batch_stats"):
        only = {"base": {"backbone": variables[collection]["base"]["backbone"]}}
        small.assert_equal(conversion.variables[collection], only)
    stage4 = [key for key in conversion.ignored if respell("body4.0.") in key]
    assert len(stage4) == 2
    back = convert.to_torch(conversion.variables)  # without what was ignored
    assert all(key.startswith("ir_back.") for key in back)
    small.assert_equal(convert.from_torch(back), conversion.variables)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_other_floating_types(dtype):
    _, state_dict = network("dcs")
    other = {key: x.astype(dtype) for key, x in state_dict.items()}
    rounded = {key: x.astype(np.float32) for key, x in other.items()}
    converted = convert.from_torch(other)
    small.assert_equal(converted, convert.from_torch(rounded))
    assert {x.dtype for x in jax.tree.leaves(converted)} == {np.dtype("float32")}


def test_everything_wrong_is_reported_at_once():
    _, state_dict = network()
    del state_dict["conv1.bias"], state_dict["cross_attention_2.theta"]
    state_dict["VIT_base.blocks.0.attn.extra"] = np.zeros(3, np.float32)
    state_dict["ir_back.body1.0.res_layer.5.fc1.weight"] = np.zeros(3, np.float32)
    state_dict["VIT_base.norm.weight"] = np.zeros(3, np.float32)
    state_dict["module.conv2.bias"] = state_dict["conv2.bias"]
    state_dict["conv3.bias"][1] = np.nan
    state_dict["conv3.weight"] = np.full((8, 8, 3, 3), 1e300)
    state_dict["VIT_base.norm.bias"] = np.zeros(16, np.int32)
    message = refused(state_dict)
    for part in (
        "2 are missing: conv1.bias, cross_attention_2.theta",
        "2 are unknown: VIT_base.blocks.0.attn.extra, ir_back.body1.0.res_layer.5.fc1.",
        "VIT_base.norm.weight is [3], not [16]",
        "1 is there twice, under other prefixes: module.conv2.bias",
        "3 are not finite floating point numbers: ",
        "conv3.bias has values that are not finite",
        "conv3.weight has values that are not finite",
        "VIT_base.norm.bias is int32",
    ):
        assert part in message


def test_long_reports_are_cut():
    _, state_dict = network()
    state_dict |= {f"extra{i:03}\n": np.zeros(1, np.float32) for i in range(100)}
    message = refused(state_dict)
    assert "100 are unknown: " in message and "and 80 more" in message
    assert message.count("extra") == 20
    assert "\n" not in message.partition("unknown")[2]  # names cannot forge lines


def test_a_missing_unit_is_missing():
    _, state_dict = network(units=UNITS)
    kept = {key: x for key, x in state_dict.items() if "body3.1." not in key}
    for respell in (str, flat_body):
        message = refused({respell(key): x for key, x in kept.items()})
        assert "ir_back.body3.1.res_layer.0.weight" in message


def test_a_small_file_cannot_make_a_large_network():
    _, state_dict = network()
    for i in range(3000):
        state_dict[f"VIT_base.blocks.{i}.x"] = np.zeros(1, np.float32)
    state_dict["VIT_base.norm.bias"] = np.zeros(2**20, np.float32)
    missing = re.search(r"([0-9]+) are missing", refused(state_dict))
    assert int(missing[1]) < 1000  # not 12 for each of 3000 blocks


def test_to_torch_refuses_what_does_not_fit():
    """Ablations without a cross ViT, stacks over devices, and what is incomplete."""
    with pytest.raises(UserError, match="2 are unknown: params/cross/head/bias"):
        convert.to_torch(small.variables(small.create("dcs", connection="gap")))
    variables, _ = network()
    with pytest.raises(UserError, match="stem_conv/kernel has 5 axes"):
        convert.to_torch(jax.tree.map(lambda x: np.stack([x, x]), variables))
    del variables["batch_stats"]["base"]["backbone"]["stem_norm"]["mean"]
    with pytest.raises(UserError, match="missing: ir_back.input_layer.1.running_mean"):
        convert.to_torch(variables)
