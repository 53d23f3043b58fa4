"""RAF-DB: the official tree, and the copies that only look like it."""

import io
import pathlib

import pytest
from PIL import Image
from qcs_jax.data import generation, integrity
from qcs_jax.data.raf_db import raf_db_dataset_builder as listing
from raf_db_tree import COUNTS, color, list_file, write, write_attributes

from qcs_jax.system.datasets import DATASETS


def test_names_and_numbers_are_those_of_the_original():
    assert listing.CLASS_NAMES == (
        "surprise",
        "fear",
        "disgust",
        "happiness",
        "sadness",
        "anger",
        "neutral",
    )


def test_published_counts_add_up(monkeypatch):
    monkeypatch.undo()
    assert sum(DATASETS["raf_db"].published["train"]) == 12_271
    assert DATASETS["raf_db"].published["test"] == (329, 74, 160, 1185, 478, 162, 680)
    assert sum(DATASETS["raf_db"].published["test"]) == 3_068


def test_prepares_the_official_tree(run, stored, copy, monkeypatch):
    monkeypatch.setattr(generation, "_READ_AT_ONCE", 9)  # 28 are 3 blocks and one more
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "")
    assert "Next: qcs-jax train --config=raf\n" in out
    assert "warning" not in out and "skipped" not in out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert table["anger"] == ["4", "4", "5", "5"]
    assert table["total"] == ["28", "28", "28", "28"]
    for split, counts in COUNTS.items():
        source, examples = stored("raf_db", split)
        assert source.class_names == listing.CLASS_NAMES
        assert len(source) == sum(counts)
        for where, (label, data) in examples.items():
            assert where.startswith(f"aligned/{split}_")
            assert data == (copy / "basic/Image" / where).read_bytes()
            red = Image.open(io.BytesIO(data)).getpixel((5, 5))[0]
            assert abs(red - color(label + 1)[0]) < 5


def test_the_folder_basic_itself_will_do(run, copy):
    assert run("raf_db", f"--manual_dir={copy / 'basic'}")[0] == 0


def test_prepared_already(run, copy, tmp_path):
    run("raf_db", f"--manual_dir={copy}")
    code, out, _ = run("raf_db")
    assert code == 0 and f"already prepared, from {copy}" in out and "anger" in out
    other = tmp_path / "other"
    write(other)
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


def test_compound_set_is_refused_by_name(run, tmp_path):
    root = tmp_path / "raf-db"
    write(root, "compound", relabel=lambda label: label + 4)
    code, _, error = run("raf_db", f"--manual_dir={root}")
    assert code == 1 and "holds only the compound set of RAF-DB" in error
    # Given directly, or renamed, only its 11 classes give it away.
    code, _, error = run("raf_db", f"--manual_dir={root / 'compound'}")
    assert code == 1 and "label 8 belongs to the compound set" in error
    assert "11 classes" in error and "list_patition_label.txt, line" in error
    (root / "compound").rename(root / "basic")
    assert "compound set" in run("raf_db", f"--manual_dir={root}")[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00001.jpg 3", "line 57: train_00001.jpg is listed twice"),
        ("test_00077.jpg 0", r"label 0 is not in 1..7"),
        ("test_00077.jpg 12", r"label 12 is not in 1..7"),
        ("test_00077_aligned.jpg 3", "is not like 'train_00001.jpg 5'"),
        ("valid_00001.jpg 3", "is not like 'train_00001.jpg 5'"),
        ("../train_00077.jpg 3", "is not like 'train_00001.jpg 5'"),
        ("test_00077.jpg happy", "is not like 'train_00001.jpg 5'"),
    ],
)
def test_damaged_lists_are_refused(run, copy, line, message):
    with open(list_file(copy), "a") as file:
        file.write(f"{line}\n")
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1 and message in error and error.count("\n") == 0


def test_marks_and_line_ends_of_windows_and_empty_lines(run, copy):
    path = list_file(copy)
    lines = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + lines + b"\r\n")
    code, out, error = run("raf_db", f"--manual_dir={copy}")
    assert (code, error) == (0, "") and "warning" not in out


def test_alphabetical_labels_are_recognized(run, tmp_path):
    alphabetical = sorted(listing.CLASS_NAMES)
    root = tmp_path / "relabelled"
    write(
        root,
        relabel=lambda k: alphabetical.index(listing.CLASS_NAMES[k - 1]) + 1,
    )
    code, out, _ = run("raf_db", f"--manual_dir={root}")
    assert code == 0
    [line] = [line for line in out.splitlines() if "seem to be numbered" in line]
    assert line.startswith("warning: ") and "numbered alphabetically" in line
    assert "label 1 that of anger" in line and "1 = surprise" in line


def test_other_permutations_are_recognized(run, tmp_path):
    root = tmp_path / "relabelled"
    write(root, relabel=lambda k: k % 7 + 1)
    out = run("raf_db", f"--manual_dir={root}")[1]
    assert "numbered in another order" in out


def test_other_counts_are_warned_about_but_no_permutation(run, copy):
    path = list_file(copy)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]))
    code, out, _ = run("raf_db", f"--manual_dir={copy}")
    assert code == 0
    assert [line for line in out.splitlines() if "warning" in line] == [
        "warning: train has 27 images, the published set 28 (surprise 2 instead of 3)"
    ]


def test_unreadable_images_are_listed_and_limited(run, copy, tmp_path):
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


def test_a_class_without_any_readable_image_is_refused(run, copy, tmp_path):
    (copy / "basic/Image/aligned/test_00001_aligned.jpg").unlink()  # the only surprise
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert code == 1
    assert "no readable image of class 'surprise' for the split 'test'" in error
    # Where too much is unreadable anyway, that comes first, with the list.
    code, _, error = run("raf_db", f"--manual_dir={copy}", "--max_unreadable=0")
    assert code == 1 and "1 images are unreadable" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_an_interrupted_preparation_leaves_nothing(run, copy, tmp_path, monkeypatch):
    write_attributes(copy)
    stored, storable = [], integrity.storable

    def interrupted(data):
        stored.append(data)
        if len(stored) == 40:  # in the second split
            raise KeyboardInterrupt
        return storable(data)

    monkeypatch.setattr(integrity, "storable", interrupted)
    code, _, error = run("raf_db", f"--manual_dir={copy}")
    assert (
        code == 130 and error == "error: interrupted, nothing was prepared; run again"
    )
    assert [p.name for p in (tmp_path / "prepared/raf_db").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["raf_db/7"], "raf_db has no configs: leave out /7"),
        (["raf_db", "--name=mine"], "--name is for image_folder: leave it out"),
    ],
)
def test_options_of_other_data_sets_are_refused(run, args, message):
    code, _, error = run(*args)
    assert code == 1 and message in error


def test_instructions_are_in_the_read_me():
    text = (pathlib.Path(listing.__file__).parent / "README.md").read_text()
    assert "http://www.whdeng.cn/RAF/model1.html" in text
    assert "python data/prepare.py raf_db --manual_dir=" in text
