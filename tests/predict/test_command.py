"""`qcs-jax predict`."""

import csv
import errno
import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
import saved
import small
from PIL import Image

import qcs_jax
from qcs_jax.predict import __main__ as command

HEADER = ["file", "label", "p", "second", "p"]
BRIGHT_SPOT = pathlib.Path(__file__).parents[1] / "fixtures/bright_spot_detector.onnx"


@pytest.fixture
def faces(tmp_path):
    """A folder of three faces."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.png", "long name.png")):
        image = Image.fromarray(small.pixels(3, 3, 3, seed=i)).resize((50, 50))
        image.save(folder / name)
    return folder


@pytest.fixture
def predict(run, capsys):
    """Runs the command: exit status, lines of standard output and of error."""

    def call(*argv):
        status = command.main([f"--checkpoint={run}", *map(str, argv)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call


def test_table_is_aligned_and_agrees_with_python(predict, faces, classifier):
    status, lines, errors = predict("--crops", faces)
    assert (status, errors) == (0, [])
    assert lines[0].split() == HEADER
    start = lines[0].index("label")
    for line, answer in zip(lines[1:], classifier.predict(faces), strict=True):
        (first, p1), (second, p2) = answer.top(2)
        assert line[:start].strip() == answer.path
        assert line[start:].split() == [first, f"{p1:.3f}", second, f"{p2:.3f}"]


def test_everything_comes_in_order(predict, faces, monkeypatch):
    named = io.BytesIO(f"{faces}/b.png\n\n{faces}/a.png\r\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(named))
    status, lines, _ = predict("--crops", faces / "b.png", f"{faces}/a*", "-", faces)
    assert status == 0
    assert [os.path.basename(line)[0] for line in lines[1:]] == [*"babaabl"]


def test_files_have_all_probabilities(predict, faces, classifier, tmp_path):
    bad = faces / "c,\n.png"
    bad.write_bytes(b"")
    table, listed = tmp_path / "out.CSV", tmp_path / "out.json"
    table.write_text("of an earlier run")
    for out in (table, listed):
        status, lines, errors = predict("--crops", faces, f"--out={out}")
        assert status == 1 and len(lines) == 4
        assert "\n".join(errors).startswith(f"error: {bad}: ")
        assert errors[-1] == "1 of 4 could not be read"
    header, *rows = csv.reader(io.StringIO(table.read_text(), newline=""))
    assert header == ["file", "label", *saved.CLASS_NAMES, "error"]
    answers, items = classifier.predict(faces), json.loads(listed.read_text())
    for row, item, answer in zip(rows, items, answers, strict=True):
        assert row[0] == item["file"] == answer.path
        if isinstance(answer, qcs_jax.Failure):
            assert row[1:] == ["", "", "", "", answer.error] and row[-1]
            assert item.keys() == {"file", "error"} and item["error"] == answer.error
            continue
        assert (row[1], row[-1]) == (answer.label, "")
        p = [float(cell) for cell in row[2:-1]]
        assert p == pytest.approx(list(answer.probabilities), rel=1e-5)
        assert item["label"] == answer.label and item["error"] is None
        assert item["probabilities"] == pytest.approx(dict(answer.top(3)), rel=1e-5)


def test_json_of_stopped_work_is_whole(predict, faces, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    predict_each = qcs_jax.Classifier.predict_each

    def interrupted(self, paths):
        yield from predict_each(self, [faces / "a.png"] * 40)
        raise KeyboardInterrupt

    monkeypatch.setattr(qcs_jax.Classifier, "predict_each", interrupted)
    status, _, errors = predict("--crops", faces, f"--out={out}")
    assert (status, errors) == (130, ["stopped"])
    assert len(json.loads(out.read_text())) == 32  # rows come 32 at a time


@pytest.fixture
def photographs(tmp_path, portrait, flower):
    """A portrait, a photograph without a face, and no image."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    portrait.save(folder / "a.png")
    flower.crop((0, 0, 320, 200)).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"")
    return folder


def test_photographs_have_a_row_for_each_face(predict, photographs, classifier):
    out = photographs.parent / "x.csv"
    status, lines, errors = predict(photographs, f"--out={out}")
    [face] = classifier.predict_photo(photographs / "a.png").faces
    heads, first, second = lines
    assert status == 1 and heads.split() == [*HEADER, "where"]
    assert face.label in first
    assert first.endswith("  " + ", ".join(f"{x:.0f}" for x in face.box))
    assert second.split("  ", 1)[1].strip() == "no face"
    assert "c.png: " in errors[0] and errors[1:] == ["1 of 3 could not be read"]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["face"] for row in rows] == ["1", "", ""]
    assert [row["taken"] for row in rows] == ["face", "", ""]
    assert float(rows[0]["left"]) == pytest.approx(face.box[0], abs=0.06)
    assert rows[1]["error"] == "no face" and "not an image" in rows[2]["error"]
    status, lines, errors = predict(photographs, "--json")
    *_, without, failure = json.loads("\n".join(lines))
    assert status == 1 and len(errors) == 2
    assert without["faces"] == [] and failure.keys() == {"file", "error"}
    spot = Image.new("RGB", (200, 160), (0, 0, 9))
    spot.paste((255, 255, 255), (80, 64, 88, 72))
    spot.save(photographs / "d.png")
    status, lines, errors = predict(f"--detector={BRIGHT_SPOT}", photographs / "d.png")
    assert (status, errors) == (0, []) and lines[1].endswith("  68, 52, 100, 84 (dark)")


def test_photographs_are_drawn_into_a_folder(predict, photographs, tmp_path):
    drawn = tmp_path / "new" / "drawn"
    predict(photographs, f"--draw={drawn}", photographs / "a.png")
    assert sorted(x.name for x in drawn.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg"]
    with Image.open(drawn / "a.jpg") as image:
        assert image.size == (512, 600)
    # Never over another file.
    before = (photographs / "a.png").read_bytes()
    mine = photographs / "b.jpg"
    mine.symlink_to(photographs / "a.png")
    predict(photographs / "b.png", f"--draw={photographs}")
    assert (photographs / "b-2.jpg").exists() and mine.is_symlink()
    assert (photographs / "a.png").read_bytes() == before
    with pytest.raises(SystemExit):
        predict("x.jpg", "--crops", f"--draw={drawn}")


def test_half_a_drawn_photograph_is_none(predict, photographs, tmp_path, monkeypatch):
    def save(image, path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    status, _, errors = predict(photographs / "a.png", f"--draw={tmp_path}/drawn")
    assert status == 2 and "No space left" in errors[-1]
    assert not [*(tmp_path / "drawn").iterdir()]


@pytest.mark.parametrize(
    "argument,message",
    [
        ("--out=x.txt", "ends in .csv or .json"),
        ("--out=nowhere/x.csv", "there is no folder nowhere"),
        ("--out=folder.csv", "is a folder"),
        ("--crops", "no checkpoint at"),
    ],
)
def test_mistakes_end_the_command_before_any_work(
    capsys, argument, message, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    assert command.main(["--checkpoint=nowhere", "x.jpg", argument]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert err.count("\n") == 1


def test_a_network_of_drawings_says_so_once(tmp_path, faces, capsys, predict):
    run = saved.run(tmp_path / "run", 1, trained_on="synthetic_faces/balanced")
    assert command.main([f"--checkpoint={run}", str(faces)]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"note: {run} was trained on drawn faces: what it says")
    assert err.count("\n") == 1


def test_nobody_need_read_to_the_end(run, faces, tmp_path):
    """As `qcs-jax predict ... --out=FILE | head -1`, and a name that is no text."""
    strange, out = os.fsencode(faces) + b"/\xff.png", tmp_path / "all.csv"
    os.rename(faces / "a.png", strange)
    argv = [sys.executable, "-m", "qcs_jax.predict", f"--checkpoint={run}", "--crops"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*argv, "-", f"--out={out}"], **pipes) as process:
        process.stdin.write((strange + b"\n") * 64)
        process.stdin.flush()
        assert process.stdout.readline().split() == [w.encode() for w in HEADER]
        assert process.stdout.readline().startswith(strange)
        process.stdout.close()
        process.stdin.write((strange + b"\n") * 64)
        process.stdin.close()
        assert process.stderr.read() == b"" and process.wait() == 0
    assert len(out.read_bytes().splitlines()) == 129
