"""RAF-DB: the official tree, copies that only look like it, and the people in it.

The published counts are those of a small copy here.
"""

import io
import shutil

import pytest
from PIL import Image
from qcs_jax.data import generation
from qcs_jax.data.raf_db.raf_db_dataset_builder import CLASS_NAMES, Builder
from raf_db_tree import COUNTS, color, list_file, write, write_attributes

from qcs_jax.evaluate import group_file


@pytest.fixture(autouse=True)
def small_published_set(monkeypatch):
    monkeypatch.setattr(Builder, "published", COUNTS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Drawn once, and copied: a copy with attributes, and their numbers."""
    root = tmp_path_factory.mktemp("raf") / "raf-db"
    write(root)
    return root, write_attributes(root)[1]


@pytest.fixture
def people(written, tmp_path):
    """A copy that knows people, and what it knows: image -> gender, race, age."""
    return shutil.copytree(written[0], tmp_path / "raf-db"), written[1]


@pytest.fixture
def copy(people):
    """A copy that knows nothing of people."""
    shutil.rmtree(people[0] / "basic/Annotation")
    return people[0]


def test_prepares_the_official_tree(run, stored, copy, monkeypatch):
    monkeypatch.setattr(generation, "_READ_AT_ONCE", 9)  # 28 are 3 blocks and one more
    path = list_file(copy)  # with what editors on Windows leave in it
    lines = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + lines + b"\r\n")
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "")
    assert "Next: qcs-jax train --config=raf\n" in out
    assert "warning" not in out and "skipped" not in out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert table["anger"] == ["4", "4", "5", "5"]
    assert table["total"] == ["28", "28", "28", "28"]
    for split, counts in COUNTS.items():
        source, examples = stored("raf_db", split)
        assert source.class_names == CLASS_NAMES
        assert len(source) == sum(counts)
        for where, (label, data) in examples.items():
            assert where.startswith(f"aligned/{split}_")
            assert data == (copy / "basic/Image" / where).read_bytes()
            red = Image.open(io.BytesIO(data)).getpixel((5, 5))[0]
            assert abs(red - color(label + 1)[0]) < 5


def test_prepared_already(run, copy, tmp_path):
    run("raf_db", f"--manual_dir={copy}")
    code, out, _ = run("raf_db")
    assert code == 0 and f"already prepared, from {copy}" in out and "anger" in out
    other = copy / "basic"  # the folder itself will do, too
    code, _, error = run("raf_db", f"--manual_dir={other}")
    assert code == 1 and f"from {copy}: replace it with --overwrite" in error
    code, out, _ = run("raf_db", f"--manual_dir={other}", "--overwrite")
    assert code == 0 and "is already prepared" not in out
    assert f"from {other}" in run("raf_db")[1]


def test_missing_parts_are_named_with_the_expected_tree(run, copy, tmp_path):
    def complaint(*args):
        code, _, error = run("raf_db", *args)
        assert code == 1
        assert "FOLDER/basic/EmoLabel/list_patition_label.txt" in error
        assert "http://www.whdeng.cn/RAF/model1.html" in error
        return error.splitlines()[0]

    assert "needs --manual_dir" in complaint()
    assert "/no/such is not a folder" in complaint("--manual_dir=/no/such")
    (tmp_path / "empty").mkdir()
    assert "label.txt is missing" in complaint(f"--manual_dir={tmp_path / 'empty'}")
    (copy / "basic/Image/aligned").rename(copy / "basic/Image/original")
    line = complaint(f"--manual_dir={copy}")
    assert "basic/Image/aligned is missing" in line and "aligned.zip" in line
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_compound_set_is_refused_by_name(run, copy):
    path = list_file(copy)
    lines = [line.rsplit(maxsplit=1) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{name} {int(k) + 4}\n" for name, k in lines))
    # Given directly, or renamed, only its 11 classes give it away.
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1 and "label 8 belongs to the compound set" in error
    assert "11 classes" in error and "list_patition_label.txt, line" in error
    (copy / "basic").rename(copy / "compound")
    assert "label 8 belongs" in run("raf_db", f"--manual_dir={copy / 'compound'}")[2]
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1 and "holds only the compound set of RAF-DB" in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00001.jpg 3", "line 57: train_00001.jpg is listed twice"),
        ("test_00077.jpg 12", "label 12 is not in 1..7"),
        ("../train_00077.jpg 3", "is not like 'train_00001.jpg 5'"),
        ("test_00077.jpg happy", "is not like 'train_00001.jpg 5'"),
    ],
)
def test_damaged_lists_are_refused(run, copy, line, message):
    with open(list_file(copy), "a") as file:
        file.write(f"{line}\n")
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1 and message in error and error.count("\n") == 0


ALPHABETICAL = sorted(CLASS_NAMES)


@pytest.mark.parametrize(
    ("relabel", "said"),
    [
        (
            lambda k: ALPHABETICAL.index(CLASS_NAMES[k - 1]) + 1,
            ["numbered alphabetically", "label 1 that of anger", "1 = surprise"],
        ),
        (lambda k: k % 7 + 1, ["numbered in another order"]),
    ],
)
def test_other_numberings_are_recognized(run, tmp_path, relabel, said):
    write(tmp_path / "relabelled", relabel=relabel)
    code, out, _ = run("raf_db", f"--manual_dir={tmp_path / 'relabelled'}")
    assert code == 0
    [line] = [line for line in out.splitlines() if "seem to be numbered" in line]
    assert line.startswith("warning: ") and all(part in line for part in said)


def test_unreadable_images_are_listed_and_limited(run, people, tmp_path):
    copy = people[0]
    aligned = copy / "basic/Image/aligned"
    (aligned / "train_00001_aligned.jpg").unlink()
    (aligned / "test_00002_aligned.jpg").write_text("not an image")
    report = tmp_path / "prepared/raf_db/unreadable.txt"
    command = ("raf_db", f"--manual_dir={copy}")
    code, _, error = run(*command, "--max_unreadable=1")
    assert code == 1 and "2 images are unreadable, 1 are tolerated" in error
    assert not list(tmp_path.rglob("dataset_info.json"))
    assert not list(tmp_path.rglob("incomplete*"))
    text = report.read_text()
    assert "train_00001_aligned.jpg\tNo such file" in text
    assert "test_00002_aligned.jpg\tnot a JPEG" in text
    code, out, _ = run(*command, "--max_unreadable=2")
    assert code == 0 and f"skipped 2 unreadable images, listed in {report}" in out
    assert "warning: test has 27 images" in out and "fear 2 instead of 3" in out
    rows = group_file.read(groups_of(tmp_path)).rows
    assert len(rows) == 54 and "aligned/train_00001_aligned.jpg" not in rows


def test_a_class_without_any_readable_image_is_refused(run, copy, tmp_path):
    (copy / "basic/Image/aligned/test_00001_aligned.jpg").unlink()  # the only surprise
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1
    assert "no readable image of class 'surprise' for the split 'test'" in error
    # Where too much is unreadable anyway, that comes first, with the list.
    code, _, error = run("raf_db", f"--manual_dir={copy}", "--max_unreadable=0")
    assert code == 1 and "1 images are unreadable" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def groups_of(tmp_path):
    return tmp_path / "prepared/raf_db/1.0.0/groups.csv"


def test_gender_race_and_age_become_groups(run, stored, people, tmp_path):
    code, out, error = run("raf_db", f"--manual_dir={people[0]}")
    assert (code, error) == (0, "")
    assert f"--groups={groups_of(tmp_path)}\n" in out
    words = (
        ("male", "female", ""),
        ("Caucasian", "African-American", "Asian"),
        ("0 to 3", "4 to 19", "20 to 39", "40 to 69", "70 or more"),
    )
    groups = group_file.read(groups_of(tmp_path))
    assert groups.columns == ("gender", "race", "age")
    assert groups.rows == {
        name: tuple(names[i] for names, i in zip(words, numbers, strict=True))
        for name, numbers in people[1].items()
    }
    source, _ = stored("raf_db", "test")
    [note] = groups.notes(source.ids(range(len(source))))
    assert "28 images that are not in the test" in note


def test_without_attributes_there_are_no_groups(run, copy, tmp_path):
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "")
    [line] = [line for line in out.splitlines() if "groups" in line]
    assert line.startswith("no groups.csv is written: ")
    assert f"{copy}/basic/Annotation/manual with gender, race and age is" in line
    assert not groups_of(tmp_path).exists()
    write_attributes(copy)
    out = run("raf_db")[1]
    assert "again, with groups of people if your copy has them, add --overwrite" in out
    run("raf_db", f"--manual_dir={copy}", "--overwrite")
    assert groups_of(tmp_path).exists()
    assert "To prepare it again, add --overwrite" in run("raf_db")[1]


def test_damaged_files_of_attributes(run, people, tmp_path):
    copy, values = people
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
    command = ("raf_db", f"--manual_dir={copy}")
    code, _, error = run(*command, "--max_unreadable=4")
    assert code == 1 and error.count("\n") == 0
    assert "5 files about people are unreadable, 4 are tolerated; the first" in error
    assert f"{files[0]} (9 lines, not 8)" in error
    assert f"or remove {folder} to prepare without groups" in error
    assert not list(tmp_path.rglob("dataset_info.json"))
    code, out, _ = run(*command)
    assert code == 0
    for file, reason in zip(files, damages, strict=True):
        assert f"no group is known of the image of {file}: {reason}" in out
    rows = group_file.read(groups_of(tmp_path)).rows
    assert rows["aligned/train_00002_aligned.jpg"] == ("", "", "")
    assert rows["aligned/train_00001_aligned.jpg"] == ("male", "Caucasian", "0 to 3")
    assert rows.keys() == values.keys()
