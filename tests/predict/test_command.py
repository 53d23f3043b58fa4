"""`qcs-jax predict`."""

import csv
import errno
import io
import json
import os
import pathlib
import subprocess
import sys

import matplotlib
import pytest
import saved
import sklearn.datasets
import small
from PIL import Image

import qcs_jax
from qcs_jax.predict import __main__ as command

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
HEADER = ["file", "label", "p", "second", "p"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved.run(tmp_path_factory.mktemp("predict") / "run", 1)


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
        status = command.main([f"--checkpoint={run}", "--crops", *map(str, argv)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call


def test_table_is_aligned_and_agrees_with_python(predict, faces, run):
    status, lines, errors = predict(faces)
    assert (status, errors) == (0, [])
    assert lines[0].split() == HEADER
    starts = {line.index(word) for line, word in zip(lines, [" label"], strict=False)}
    answers = qcs_jax.load(run).predict(faces)
    assert len(lines) == 1 + len(answers) == 4
    for line, answer in zip(lines[1:], answers, strict=True):
        (first, p1), (second, p2) = answer.top(2)
        assert line.startswith(answer.path)
        found = line.removeprefix(answer.path).split()
        assert found == [first, f"{p1:.3f}", second, f"{p2:.3f}"]
        starts.add(line.index(f" {first} "))
    assert len(starts) == 1


def test_files_patterns_and_folders_in_order(predict, faces):
    _, lines, _ = predict(faces / "b.png", f"{faces}/a*", faces)
    found = [line.split(".png")[0].rsplit("/")[-1] for line in lines[1:]]
    assert found == ["b", "a", "a", "b", "long name"]


def test_paths_from_standard_input(predict, faces, monkeypatch):
    text = f"{faces}/b.png\n\n{faces}/a.png\r\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    status, lines, _ = predict("-", faces / "long name.png")
    assert status == 0
    assert [os.path.basename(line)[0] for line in lines[1:]] == ["b", "a", "l"]


def test_a_corrupt_image_among_a_hundred_costs_one_line(predict, faces, tmp_path):
    good = faces / "a.png"
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:50])
    out = tmp_path / "out.csv"
    status, lines, errors = predict(*[good] * 60, bad, *[good] * 40, f"--out={out}")
    assert status == 1
    assert len(lines) == 101
    assert errors[0].startswith(f"error: {bad}: ")
    assert errors[1:] == ["1 of 101 could not be read"]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [i for i, row in enumerate(rows) if row["error"]] == [60]


def test_csv_has_all_probabilities(predict, faces, run, tmp_path):
    (faces / "c,\n.png").write_bytes(b"")
    out = tmp_path / "out.CSV"
    out.write_text("of an earlier run")
    assert predict(faces, f"--out={out}")[0] == 1
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "label", *saved.CLASS_NAMES, "error"]
    for row, answer in zip(rows, qcs_jax.load(run).predict(faces), strict=True):
        assert row[0] == answer.path
        if isinstance(answer, qcs_jax.Failure):
            assert row[1:] == ["", "", "", "", answer.error] and row[-1]
        else:
            assert (row[1], row[-1]) == (answer.label, "")
            p = [float(cell) for cell in row[2:-1]]
            assert p == pytest.approx(list(answer.probabilities), rel=1e-5)


def test_json_has_all_probabilities(predict, faces, run, tmp_path):
    (faces / "c.png").write_bytes(b"")
    out = tmp_path / "out.json"
    assert predict(faces, f"--out={out}")[0] == 1
    rows = json.loads(out.read_text())
    for row, answer in zip(rows, qcs_jax.load(run).predict(faces), strict=True):
        assert row["file"] == answer.path
        if isinstance(answer, qcs_jax.Failure):
            assert row.keys() == {"file", "error"}
            assert row["error"] == answer.error
        else:
            assert row["label"] == answer.label and row["error"] is None
            assert row["probabilities"] == pytest.approx(dict(answer.top(3)), rel=1e-5)


def test_json_of_stopped_work_is_whole(predict, faces, tmp_path, monkeypatch):
    out = tmp_path / "out.json"

    predict_each = qcs_jax.Classifier.predict_each

    def interrupted(self, paths):
        yield from predict_each(self, [faces / "a.png"] * 40)
        raise KeyboardInterrupt

    monkeypatch.setattr(qcs_jax.Classifier, "predict_each", interrupted)
    status, _, errors = predict(faces, f"--out={out}")
    assert (status, errors) == (130, ["stopped"])
    assert len(json.loads(out.read_text())) == 32  # rows come 32 at a time


@pytest.fixture
def photographs(run, tmp_path, capsys):
    """Runs the command on a portrait, a photograph without a face, and no image."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    folder = tmp_path / "photographs"
    folder.mkdir()
    portrait = Image.open(PORTRAIT).convert("RGB")
    portrait.save(folder / "a.png")
    flower = sklearn.datasets.load_sample_image("flower.jpg")
    Image.fromarray(flower).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"")

    def call(*argv):
        argv = [f"--checkpoint={run}", str(folder), *map(str, argv)]
        status = command.main(argv)
        out, err = capsys.readouterr()
        return status, out, err.splitlines(), qcs_jax.load(run).predict_photos(folder)

    return call


def test_photographs_have_a_row_for_each_face(photographs, tmp_path):
    status, out, errors, (portrait, _, _) = photographs(f"--out={tmp_path}/x.csv")
    [face] = portrait.faces
    heads, first, second = out.splitlines()
    assert status == 1 and heads.split() == [*HEADER, "where"]
    assert face.label in first
    assert first.endswith("  " + ", ".join(f"{x:.0f}" for x in face.box))
    assert second.split("  ", 1)[1].strip() == "no face"
    assert "c.png: " in errors[0] and errors[1:] == ["1 of 3 could not be read"]
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["face"] for row in rows] == ["1", "", ""]
    assert [row["taken"] for row in rows] == ["face", "", ""]
    assert float(rows[0]["left"]) == pytest.approx(face.box[0], abs=0.06)
    assert rows[1]["error"] == "no face" and "not an image" in rows[2]["error"]


def test_json_on_standard_output(photographs):
    status, out, errors, (portrait, without, _) = photographs("--json")
    found = json.loads(out)
    assert status == 1 and len(errors) == 2
    assert found[0] == {**json.loads(json.dumps(portrait.to_dict())), "error": None}
    assert found[1]["faces"] == without.to_dict()["faces"] == []
    assert found[2].keys() == {"file", "error"}


def test_photographs_are_drawn_into_a_folder(photographs, tmp_path, run):
    drawn = tmp_path / "new" / "drawn"
    photographs(f"--draw={drawn}", tmp_path / "photographs" / "a.png")
    assert sorted(x.name for x in drawn.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg"]
    with Image.open(drawn / "a.jpg") as image:
        assert image.size == (512, 600)
    with pytest.raises(SystemExit):
        command.main(["x.jpg", "--crops", f"--draw={drawn}"])


def test_half_a_drawn_photograph_is_none(photographs, tmp_path, monkeypatch):
    def save(image, path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    status, _, errors, _ = photographs(f"--draw={tmp_path}/drawn")
    assert status == 2 and "No space left" in errors[-1]
    assert not [*(tmp_path / "drawn").iterdir()]


def test_photographs_are_never_drawn_over(photographs, tmp_path):
    before = (tmp_path / "photographs" / "a.png").read_bytes()
    mine = tmp_path / "photographs" / "b.jpg"
    mine.symlink_to(tmp_path / "photographs" / "a.png")
    photographs(f"--draw={tmp_path}/photographs")
    assert (tmp_path / "photographs" / "b-2.jpg").exists() and mine.is_symlink()
    assert (tmp_path / "photographs" / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    "argument,message",
    [
        ("--out=x.txt", "ends in .csv or .json"),
        ("--out=nowhere/x.csv", "there is no folder nowhere"),
        ("--out=folder.csv", "is a folder"),
        ("--detector=nowhere.onnx", "there is no face detector nowhere.onnx"),
    ],
)
def test_mistakes_are_told_before_any_work(
    capsys, argument, message, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    assert command.main(["--checkpoint=nowhere", "x.jpg", argument]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("trained_on", ["synthetic_faces/balanced", "raf_db"])
def test_a_network_of_drawings_says_so_once(tmp_path, faces, capsys, trained_on):
    run = saved.run(tmp_path / "run", 1, trained_on=trained_on)
    assert command.main([f"--checkpoint={run}", str(faces)]) == 0
    err = capsys.readouterr().err
    if trained_on == "raf_db":
        assert not err
    else:
        assert err.startswith(f"note: {run} was trained on drawn faces: what it says")
        assert err.count("\n") == 1


def test_no_checkpoint(capsys):
    assert command.main(["--checkpoint=nowhere", "x.jpg"]) == 2
    assert "error: no checkpoint at" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--checkpoint=x"], ["--nonsense"]])
def test_wrong_arguments(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(argv)
    assert "usage: qcs-jax predict" in capsys.readouterr().err


def test_the_file_is_whole_though_nobody_reads(run, faces, tmp_path):
    out = tmp_path / "all.csv"
    arguments = [
        f"--checkpoint={run}",
        "--crops",
        f"--out={out}",
        *[str(faces / "a.png")] * 200,
    ]
    command_line = [sys.executable, "-m", "qcs_jax.predict", *arguments]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 0
    assert len(out.read_text().splitlines()) == 201


def test_nobody_need_read_to_the_end(run, faces):
    """As `qcs-jax predict ... | head -1`, and a name that is no text."""
    strange = os.fsencode(faces) + b"/\xff.png"
    os.rename(faces / "a.png", strange)
    command_line = [
        sys.executable,
        "-m",
        "qcs_jax.predict",
        f"--checkpoint={run}",
        "--crops",
        "-",
    ]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command_line, **pipes) as process:
        process.stdin.write((strange + b"\n") * 64)
        process.stdin.flush()
        assert process.stdout.readline().split() == [w.encode() for w in HEADER]
        assert process.stdout.readline().startswith(strange)
        process.stdout.close()
        process.stdin.write((strange + b"\n") * 64)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
