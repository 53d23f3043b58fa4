"""RAF-DB: the official tree, other numberings of its classes, and the people in it.

The published counts are those of a small copy here.
"""

import io

import copies
import pytest
from PIL import Image
from qcs_jax.data import generation
from qcs_jax.data.raf_db.raf_db_dataset_builder import CLASS_NAMES, Builder

from qcs_jax.evaluate import group_file


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """One that knows nothing of people."""
    monkeypatch.setattr(Builder, "published", copies.RAF_DB_COUNTS)
    return copies.raf_db(tmp_path / "raf-db")


@pytest.fixture
def groups(tmp_path):
    """The file of groups among the prepared data."""
    return tmp_path / "prepared/raf_db/1.0.0/groups.csv"


def test_prepares_the_official_tree(prepare, stored, copy, monkeypatch):
    monkeypatch.setattr(generation, "_READ_AT_ONCE", 9)  # 28 are 3 blocks and one more
    path = copy / copies.RAF_DB_LIST  # with what editors on Windows leave in it
    lines = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + lines + b"\r\n")
    out = prepare("raf_db", copy)
    assert "Next: qcs-jax train --config=raf\n" in out
    assert "warning" not in out and "skipped" not in out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert table["anger"] == ["4", "4", "5", "5"]
    assert table["total"] == ["28", "28", "28", "28"]
    for split, counts in copies.RAF_DB_COUNTS.items():
        source, examples = stored("raf_db", split)
        assert source.class_names == CLASS_NAMES
        assert len(source) == sum(counts)
        for where, (label, data) in examples.items():
            assert where.startswith(f"aligned/{split}_")
            assert data == (copy / "basic/Image" / where).read_bytes()
            red = Image.open(io.BytesIO(data)).getpixel((5, 5))[0]
            assert abs(red - 30 * (label + 1)) < 5


def alphabetically(label):
    return sorted(CLASS_NAMES).index(CLASS_NAMES[label - 1]) + 1


@pytest.mark.parametrize(
    ("relabel", "said"),
    [
        (alphabetically, "numbered alphabetically"),
        (lambda label: label % 7 + 1, "numbered in another order"),
    ],
)
def test_other_numberings_are_recognized(prepare, copy, relabel, said):
    out = prepare("raf_db", copies.raf_db(copy, relabel))
    [line] = [line for line in out.splitlines() if "seem to be " in line]
    assert line.startswith("warning: ") and said in line


def test_gender_race_and_age_become_groups(prepare, stored, copy, groups):
    people = copies.raf_db_people(copy)
    assert f"--groups={groups}\n" in prepare("raf_db", copy)
    words = (
        ("male", "female", ""),
        ("Caucasian", "African-American", "Asian"),
        ("0 to 3", "4 to 19", "20 to 39", "40 to 69", "70 or more"),
    )
    read = group_file.read(groups)
    assert read.columns == ("gender", "race", "age")
    assert read.rows == {
        name: tuple(names[i] for names, i in zip(words, numbers, strict=True))
        for name, numbers in people.items()
    }
    source, _ = stored("raf_db", "test")
    [note] = read.notes(source.ids(range(len(source))))
    assert "28 images that are not in the test" in note


def test_without_attributes_there_are_no_groups(prepare, refuse, copy, groups):
    out = prepare("raf_db", copy)
    [line] = [line for line in out.splitlines() if "groups" in line]
    assert line.startswith("no groups.csv is written: ")
    assert f"{copy}/basic/Annotation/manual with gender, race and age is" in line
    assert not groups.exists()
    copies.raf_db_people(copy)
    out = prepare("raf_db")
    assert f"already prepared, from {copy}" in out and "anger" in out
    assert "again, with groups of people if your copy has them, add --overwrite" in out
    basic = copy / "basic"  # the folder itself will do, too
    assert f"from {copy}: replace it with --overwrite" in refuse("raf_db", basic)
    prepare("raf_db", basic, "--overwrite")
    assert groups.exists()


def test_damaged_files_of_attributes(prepare, refuse, copy, groups):
    people = copies.raf_db_people(copy)
    folder = copy / "basic/Annotation/manual"
    damages = {
        "9 lines, not 8": lambda text: text + "1\n",
        "'30.5' is no point": lambda text: text.replace("30.5\t40", "30.5"),
        "gender is '3', not in 0..2": lambda text: text[:-6] + "3\n0\n0\n",
        "age is 'old', not in 0..4": lambda text: text[:-6] + "0\n0\nold\n",
        "No such file": None,
    }
    files = [folder / f"train_{k:05d}_manu_attri.txt" for k in range(2, 7)]
    for file, damage in zip(files, damages.values(), strict=True):
        file.write_text(damage(file.read_text())) if damage else file.unlink()
    error = refuse("raf_db", copy, "--max_unreadable=4")
    assert "5 files about people are unreadable, 4 are tolerated; the first" in error
    assert f"{files[0]} (9 lines, not 8)" in error and "\n" not in error
    assert f"or remove {folder} to prepare without groups" in error
    lost = "aligned/train_00007_aligned.jpg"
    (copy / "basic/Image" / lost).unlink()
    out = prepare("raf_db", copy)
    assert "warning: train has 27 images" in out and "happiness 5 instead of 6" in out
    for file, reason in zip(files, damages, strict=True):
        assert f"no group is known of the image of {file}: {reason}" in out
    rows = group_file.read(groups).rows
    assert rows["aligned/train_00002_aligned.jpg"] == ("", "", "")
    assert rows.keys() == people.keys() - {lost}
