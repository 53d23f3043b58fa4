"""The page about a run: complete, honest, and without a link to anywhere."""

import builtins
import html.parser
import json
import re
import shutil
import sys

import numpy as np
import pytest
import toy

from qcs_jax import main
from qcs_jax.evaluate import groups, predictions, results
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.figures import page, pictures
from qcs_jax.figures import report_command as command
from qcs_jax.figures.gallery import Gallery
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.system.errors import UserError
from qcs_jax.train import loop

CONFIG = {"model.name": "dcs", "data.val_fraction": 0.2}
VOID = {"meta", "img", "br"}


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    toy.install(monkeypatch)


@pytest.fixture(scope="module")
def evaluated_once(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        folder = tmp_path_factory.mktemp("run")
        loop.train_and_evaluate(toy.config(**CONFIG), folder)
        assert main.run("eval", toy.config(**CONFIG), folder, "command") == 0
    return folder


@pytest.fixture
def run(evaluated_once, tmp_path):
    return shutil.copytree(evaluated_once, tmp_path / "run")


class Reader(html.parser.HTMLParser):
    """Text, tags and links of a page; fails where tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.links, self.tags, self.ids = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.ids.append(attributes.get("id"))
        self.links += [attributes[a] for a in ("src", "href") if a in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(run):
    reader = Reader((run / "report" / "index.html").read_text(encoding="utf-8"))
    return reader, " ".join(" ".join(reader.text).split())


def test_evaluation_writes_a_page_that_needs_nothing_else(run):
    reader, text = read(run)
    assert [path.name for path in (run / "report").iterdir()] == ["index.html"]
    assert len(reader.links) > 5
    here = [link[1:] for link in reader.links if link.startswith("#")]
    assert "metrics" in here and set(here) <= set(reader.ids)
    pictures = [link for link in reader.links if not link.startswith("#")]
    assert all(link.startswith("data:image/") for link in pictures)
    assert not {"script", "link", "iframe"} & set(reader.tags)
    source = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import", re.sub(r'"data:[^"]*"', "", source))


def test_every_number_is_on_the_page(run):
    measured = json.loads((run / "metrics.json").read_text())
    _, text = read(run)
    assert len(measured["scores"]) == 3
    for title, score in measured["scores"].items():
        assert f"{title} {100 * score['accuracy']:.2f} %" in text
    low, high = measured["intervals"]["accuracy"]
    assert f"{100 * low:.2f} – {100 * high:.2f} %" in text
    temperature = measured["calibrated"]["temperature"]
    assert f"Temperature {temperature:.3f}, fitted on held-out images" in text
    for row in measured["per_class"]:
        assert f"{row['class']} {row['examples']} {100 * row['recall']:.2f}" in text
    wrong = len(toy.source("test")) - round(21 * measured["metrics"]["accuracy"])
    assert f"{wrong} of 21 answers are wrong" in text
    for part in ("Grey squares.", "data.val_fraction 0.2", "jaxlib 0.10.2"):
        assert part in text
    assert "negatives: " in text  # a figure that pairs cannot have, and why


def test_what_is_shown_as_mistakes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    probabilities = rng.dirichlet(np.ones(3), 60).astype(np.float32)
    ids = tuple(f"image {i}" for i in range(60))
    predicted = predictions.Predictions(ids, labels, probabilities, toy.CLASSES)
    png = toy.source("test").encoded([0])[0]
    gallery = Gallery("toy", labels, toy.CLASSES, 36, lambda some: [png] * len(some))
    shown = pictures.mistakes(predicted, gallery)
    assert len(shown) == pictures.MISTAKES
    confidences = [mistake.confidence for mistake in shown]
    assert confidences == sorted(confidences, reverse=True)
    wrong = probabilities.argmax(axis=1) != labels
    assert confidences[0] == probabilities.max(axis=1)[wrong].max()
    for mistake in shown:
        i = ids.index(mistake.name)
        assert mistake.label == toy.CLASSES[labels[i]] != mistake.prediction
    perfect = predictions.Predictions(
        ids, labels, np.eye(3, dtype=np.float32)[labels], toy.CLASSES
    )
    assert pictures.mistakes(perfect, gallery) == []


def test_names_are_text_and_nothing_else(run):
    file = run / "metrics.json"
    hostile = "<script>alert(1)</script>"
    measured = json.loads(file.read_text())
    measured["per_class"][0]["class"] = hostile
    file.write_text(json.dumps(measured))
    page.write(run)
    reader, text = read(run)
    assert "script" not in reader.tags and hostile in text


def test_a_run_that_was_not_evaluated(run, capsys):
    (run / "metrics.json").unlink()
    assert command.main([str(run)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "--mode=eval with its" in message


def test_an_evaluation_of_another_version(run):
    measured = json.loads((run / "metrics.json").read_text())
    del measured["flip"], measured["seed"]
    (run / "metrics.json").write_text(json.dumps(measured))
    with pytest.raises(UserError, match="has no flip, seed: evaluate the run again"):
        page.write(run)


def test_predictions_of_other_images(run):
    predicted = predictions.read(run / "predictions.csv")
    predictions.write(
        run / "predictions.csv",
        predicted.ids[1:],
        predicted.labels[1:],
        predicted.probabilities[1:],
        toy.CLASSES,
    )
    with pytest.raises(UserError, match="not of the same images"):
        page.write(run)


def test_without_the_extra_the_evaluation_is_there_and_says_so(
    run, monkeypatch, capsys
):
    shutil.rmtree(run / "report")
    imported = builtins.__import__

    def without(name, *arguments):
        if name == "jinja2":
            raise ModuleNotFoundError(name=name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "qcs_jax.figures.page")
    monkeypatch.delattr("qcs_jax.figures.page")
    assert main.run("eval", toy.config(**CONFIG), run, "command") == 0
    printed = capsys.readouterr().out
    assert "there is no report: figures and the report need jinja2: pip" in printed
    assert (run / "metrics.json").exists() and not (run / "report").exists()


def test_robustness_if_it_was_measured(run):
    assert "Robustness" not in read(run)[1]
    file = run / "metrics.json"
    measured = json.loads(file.read_text())
    accuracy = {name: [0.5, 0.4, 0.3, 0.2, 0.1] for name in CORRUPTIONS}
    measured["robustness"] = results.robustness(accuracy, 0.6)
    file.write_text(json.dumps(measured))
    page.write(run)
    reader, text = read(run)
    assert (
        "60.00 % on the images as they are, 30.00 % are left on average over 10" in text
    )
    assert "accuracy on worse images, by what was done to them" in text.lower()
    assert "the first test image as it is, and at every severity" in text.lower()


def test_groups_if_they_were_measured(run):
    assert "Groups of people" not in read(run)[1]
    file = run / "metrics.json"
    measured = json.loads(file.read_text())
    hostile = "<b onclick=x>old</b>"
    columns = [
        Grouping("age $x$", ("young", hostile), np.repeat([0, 1, -1], [60, 20, 3])),
        Grouping("glasses", ("yes", "no"), np.arange(83) % 2),
        Grouping("nothing", (), np.full(83, -1)),
    ]
    logits = np.random.default_rng(0).normal(size=(83, 3))
    found = groups.summary(columns, logits, np.arange(83) % 3, toy.CLASSES, ["a note"])
    measured["groups"] = found
    file.write_text(json.dumps(measured))
    page.write(run)
    reader, text = read(run)
    assert hostile in text and "onclick" not in "".join(reader.tags)
    charts = [x for x in reader.links if x.startswith("data:image/svg")]
    del measured["groups"]
    file.write_text(json.dumps(measured))
    page.write(run)
    without = [x for x in read(run)[0].links if x.startswith("data:image/svg")]
    assert len(charts) == len(without) + 2  # "nothing" has no groups to draw
    for part in ("A note.", "age $x$ * Fewer than 50 images", f"{hostile} * 20 "):
        assert part in text
    assert "3 images belong to no known group." in text
    assert text.count("There are no two groups of 50 images or more") == 3
    for column in found["columns"]:
        for group in column["groups"]:
            low, high = group["intervals"]["accuracy"]
            cells = f"{group['examples']} {100 * group['accuracy']:.1f} "
            assert f"{cells} {100 * low:.1f} to {100 * high:.1f}".replace(
                "  ", " "
            ) in (text)
            for row in group["per_class"]:
                assert f"{100 * row['recall']:.1f} ({row['examples']})" in text


def test_a_gap_is_told_in_words(run):
    file = run / "metrics.json"
    measured = json.loads(file.read_text())
    labels = np.arange(200) % 3
    logits = 4.0 * np.eye(3)[np.where(np.arange(200) < 180, labels, 0)]
    column = Grouping("age", ("old", "young"), (np.arange(200) < 100).astype(int))
    found = groups.summary([column], logits, labels, toy.CLASSES)
    measured["groups"] = found
    file.write_text(json.dumps(measured))
    page.write(run)
    sentence = found["columns"][0]["gap"]["sentence"]
    assert "young above old" in sentence and "more than chance" in sentence
    assert sentence in read(run)[1]


def test_other_data_sets_are_listed_if_there_are_any(run):
    assert "On other data sets" not in read(run)[1]
    measured = json.loads((run / "metrics.json").read_text())
    for name, accuracy, note in (("b", 0.25, "left out: <b>"), ("a", 0.5, "")):
        other = json.loads(json.dumps(measured))
        other |= {"dataset": name, "examples": 8, "notes": [note] * bool(note)}
        other["metrics"] |= {"accuracy": accuracy, "mean_class_accuracy": 0.125}
        other["metrics"] |= {"most_frequent": 0.4, "chance": 0.3}
        other["intervals"]["accuracy"] = [0.1, 0.9]
        other["per_class"][0]["examples"] = 0
        (run / f"on_{name}_test").mkdir()
        (run / f"on_{name}_test" / "metrics.json").write_text(json.dumps(other))
    (run / "on_broken").mkdir()
    (run / "on_broken" / "metrics.json").write_text("{}")
    page.write(run)
    _, text = read(run)
    section = text[text.index("On other data sets") :]
    rows = [
        f"{name} test 8 2 of 3 {accuracy} 10.00 – 90.00 12.50 40.00 30.00"
        for name, accuracy in (("a", "50.00"), ("b", "25.00"))
    ]
    assert " ".join(rows) in section
    assert "b, test: left out: <b>." in section
    other["fingerprint"]["network"] = "of another network"
    (run / "on_a_test" / "metrics.json").write_text(json.dumps(other))
    page.write(run)
    assert "b test 8" in read(run)[1] and "a test 8" not in read(run)[1]
