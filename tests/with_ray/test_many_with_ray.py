"""The manual's recipe for many photographs, run by Ray Data on this machine."""

import os
import pathlib
import re
import subprocess
import sys

import matplotlib
import pandas
import pytest
from manuals import snippet
from PIL import Image

import qcs_jax

pytest.importorskip("ray", reason='runs Ray Data: pip install "ray[data]"')

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = ROOT / "qcs_jax/predict/many.md"
PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"

# A small Ray: CPUs, by count, for two workers and who reads and writes. It tells nobody
# of itself, and keeps no token at home.
START = """
import ray
ray.init(num_cpus=3, include_dashboard=False, object_store_memory=100_000_000)
"""
SETTINGS = {
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs as files and as Parquet, and what the recipes made of them."""
    folder = tmp_path_factory.mktemp("many")
    photographs = folder / "photographs"
    photographs.mkdir()
    portrait = Image.open(PORTRAIT)
    for i in range(3):
        photograph = Image.new("RGB", (500 + 40 * i, 360), (90, 110, 80))
        photograph.paste(portrait.resize((256, 300)), (10 + 20 * i, 30))
        photograph.save(photographs / f"{i}.jpg")
    data = (photographs / "0.jpg").read_bytes()
    (photographs / "damaged.jpg").write_bytes(data[: len(data) // 2])
    (photographs / "notes.txt").write_text("no image")
    files = {f"key {x.name}": x.read_bytes() for x in sorted(photographs.iterdir())}
    table = pandas.DataFrame({"path": files.keys(), "bytes": files.values()})
    table["more"] = 1  # a column that the recipe leaves alone
    table.to_parquet(folder / "photographs.parquet")

    blocks = [snippet(MANUAL, x) for x in ("The worker", "Ray", "From Parquet")]
    blocks[2] = blocks[2].replace('"faces"', '"faces2"')
    (folder / "classify.py").write_text(START + "".join(blocks))
    done = subprocess.run(
        [sys.executable, "classify.py"],
        cwd=folder,
        env=os.environ | SETTINGS,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    """Rows of the same photographs, from one process."""
    files = sorted((folder / "photographs").iterdir())
    photos = qcs_jax.load().predict_photos(files)
    table = qcs_jax.to_pandas(photos)
    table["file"] = [pathlib.Path(file).name for file in table["file"]]
    return table


def rows(path):
    table = pandas.read_parquet(path).sort_values(["file", "face"])
    table["file"] = [re.split("[/ ]", file)[-1] for file in table["file"]]
    return table.reset_index(drop=True)


@pytest.mark.parametrize("result", ["faces", "faces2"])
def test_rows_equal_those_of_one_process(folder, expected, result):
    table = rows(folder / result)
    assert expected["label"].notna().sum() == 3
    pandas.testing.assert_frame_equal(table, expected, check_dtype=False, atol=1e-5)


@pytest.mark.parametrize("result", ["faces", "faces2"])
def test_a_failure_is_a_row(folder, result):
    failed = rows(folder / result).set_index("file").loc[["damaged.jpg", "notes.txt"]]
    assert failed["error"].str.len().gt(10).all()
    assert failed["label"].isna().all() and failed["left"].isna().all()
