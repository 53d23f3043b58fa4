"""The table of hours in the manual of the recipes is what its own columns give."""

import math
import pathlib

import pytest

from qcs_jax.benchmark import scaling
from qcs_jax.config.flags import read_config
from qcs_jax.input.pipeline import steps_per_epoch

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
IMAGES = {"raf": 12271, "ferplus": 25060, "affectnet7": 283901, "affectnet8": 287651}
TIME = (CONFIGS / "README.md").read_text("utf-8").split("## Time\n")[1].split("## ")[0]
ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in TIME.splitlines()
    if line.startswith("| `")
]


def test_all_recipes_are_in_the_table():
    found = {row[0] for row in ROWS}
    assert found == {f"{name}.py:{v}" for name in IMAGES for v in ("dcs", "qcs")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_hours(row):
    recipe, steps, teraflops, *hours = row
    c = read_config(str(CONFIGS / recipe), [])
    images = IMAGES[recipe.partition(".")[0]]
    epoch = steps_per_epoch(images, c.train.batch_size, c.data.epoch_fraction)
    assert steps == f"{epoch * c.train.epochs:,}"
    flops = 1e12 * float(teraflops)
    for device, pair in zip(scaling.PUBLISHED, hours, strict=True):
        for dtype, told in zip(("float32", "bfloat16"), pair.split(","), strict=True):
            expected = scaling.hours(flops, int(steps.replace(",", "")), device, dtype)
            assert math.isclose(float(told), expected, rel_tol=0.06), (device, dtype)
