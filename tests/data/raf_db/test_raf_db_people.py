"""Gender, race and age of the people in RAF-DB, as its annotators saw them."""

import pytest
from raf_db_tree import write_attributes

from qcs_jax.evaluate import group_file


def groups_file(tmp_path):
    return tmp_path / "prepared/raf_db/1.0.0/groups.csv"


def test_gender_race_and_age_become_groups(run, stored, copy, tmp_path):
    _, values = write_attributes(copy)
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "")
    assert f"--groups={groups_file(tmp_path)}\n" in out
    words = (
        ("male", "female", ""),
        ("Caucasian", "African-American", "Asian"),
        ("0 to 3", "4 to 19", "20 to 39", "40 to 69", "70 or more"),
    )
    found = group_file.read(groups_file(tmp_path))
    assert found.columns == ("gender", "race", "age")
    assert found.rows == {
        name: tuple(names[i] for names, i in zip(words, numbers, strict=True))
        for name, numbers in values.items()
    }
    source, _ = stored("raf_db", "test")
    ids = source.ids(range(len(source)))
    assert found.notes(ids) == [
        f"{groups_file(tmp_path)} has 28 images that are not in the test, which were "
        f"left out"
    ]


def test_without_attributes_there_are_no_groups(run, copy, tmp_path):
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "")
    [line] = [line for line in out.splitlines() if "groups" in line]
    assert line.startswith("no groups.csv is written: ")
    assert f"{copy}/basic/Annotation/manual with gender, race and age is" in line
    assert not groups_file(tmp_path).exists()
    write_attributes(copy)
    out = run("raf_db")[1]
    assert "again, with groups of people if your copy has them, add --overwrite" in out
    run("raf_db", f"--manual_dir={copy}", "--overwrite")
    assert groups_file(tmp_path).exists()
    assert "To prepare it again, add --overwrite" in run("raf_db")[1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: "", "0 lines, not 8"),
        (lambda text: text + "1\n", "9 lines, not 8"),
        (lambda text: text.replace("30.5\t40", "30.5"), "'30.5' is no point"),
        (lambda text: text.replace("30.5\t40", "a b"), "could not convert"),
        (lambda text: text[:-6] + "3\n0\n0\n", "gender is '3', not in 0..2"),
        (lambda text: text[:-6] + "0\n-1\n0\n", "race is '-1', not in 0..2"),
        (lambda text: text[:-6] + "0\n0\nold\n", "age is 'old', not in 0..4"),
        (None, "No such file"),
    ],
)
def test_a_damaged_file_of_attributes(run, copy, tmp_path, damage, reason):
    folder, values = write_attributes(copy)
    file = folder / "train_00002_manu_attri.txt"
    if damage:
        file.write_text(damage(file.read_text()))
    else:
        file.unlink()
    command = ("raf_db", f"--manual_dir={copy}")
    code, _, error = run(*command, "--max_unreadable=0")
    assert code == 1 and error.count("\n") == 0
    assert (
        f"1 files about people are unreadable, 0 are tolerated; the first is {file}"
        in (error)
    )
    assert reason in error and f"or remove {folder} to prepare without groups" in error
    assert not list(tmp_path.rglob("dataset_info.json"))
    code, out, _ = run(*command)
    assert code == 0 and f"no group is known of the image of {file}: " in out
    rows = group_file.read(groups_file(tmp_path)).rows
    assert rows["aligned/train_00002_aligned.jpg"] == ("", "", "")
    assert rows["aligned/train_00001_aligned.jpg"] == ("male", "Caucasian", "0 to 3")
    assert rows.keys() == values.keys()


def test_images_that_are_left_out_have_no_groups(run, copy, tmp_path):
    write_attributes(copy)
    (copy / "basic/Image/aligned/train_00001_aligned.jpg").write_text("no image")
    # Another of its class is there.
    assert run("raf_db", f"--manual_dir={copy}")[0] == 0
    rows = group_file.read(groups_file(tmp_path)).rows
    assert len(rows) == 55 and "aligned/train_00001_aligned.jpg" not in rows
