"""The page about a run: complete, honest, and without a link to anywhere."""

import builtins
import html
import html.parser
import json
import re
import shutil
import sys

import jaxlib
import numpy as np
import pytest
import toy

from qcs_jax import main
from qcs_jax.evaluate import groups, predictions, results
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.figures import command, page, paper
from qcs_jax.figures.paper import Gallery
from qcs_jax.images.corruptions import CORRUPTIONS

VOID = {"meta", "img", "br"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module", autouse=True)
def toy_world():
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        yield


@pytest.fixture(scope="module")
def evaluated(write_run, tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"), **toy.HELD_OUT)
    assert main.run("eval", toy.config(**toy.HELD_OUT), folder, "command") == 0
    return folder


@pytest.fixture
def run(evaluated, tmp_path):
    return shutil.copytree(evaluated, tmp_path / "run")


@pytest.fixture(scope="module")
def complete(evaluated, tmp_path_factory):
    """The run with all that can be measured, and its page."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    shutil.copytree(evaluated, folder)
    measured = json.loads((folder / "metrics.json").read_text())
    for name, accuracy, network in (("b", 0.25, 0), ("a", 0.5, 0), ("c", 0.5, "x")):
        other = json.loads(json.dumps(measured))
        note = ["left out: <b>"] * (name == "b")
        other |= {"dataset": name, "examples": 8, "notes": note}
        other["metrics"] |= {"accuracy": accuracy, "mean_class_accuracy": 0.125}
        other["metrics"] |= {"most_frequent": 0.4, "chance": 0.3}
        other["intervals"]["accuracy"] = [0.1, 0.9]
        other["per_class"][0]["examples"] = 0
        if network:
            other["fingerprint"]["network"] = network
        (folder / f"on_{name}_test").mkdir()
        (folder / f"on_{name}_test" / "metrics.json").write_text(json.dumps(other))
    accuracy = {name: [0.5, 0.4, 0.3, 0.2, 0.1] for name in CORRUPTIONS}
    accuracy |= {"JPEG": [0.6, 0.5, 0.4, 0.2, 0.1], "noise": [0.4, 0.3, 0.2, 0.2, 0.1]}
    measured["robustness"] = results.robustness(accuracy, 0.6)
    number = np.arange(200)
    columns = [
        Grouping("age $x$", ("young", HOSTILE), np.repeat([0, 1, -1], [177, 20, 3])),
        Grouping("glasses", ("old", "young"), (number < 100).astype(int)),
        Grouping("nothing", (), np.full(200, -1)),
    ]
    logits = 4.0 * np.eye(3)[np.where(number < 180, number % 3, 0)]
    measured["groups"] = groups.summary(
        columns, logits, number % 3, toy.CLASSES, ["a note"]
    )
    measured["per_class"][0]["class"] = HOSTILE
    (folder / "metrics.json").write_text(json.dumps(measured))
    with pytest.MonkeyPatch.context() as patch:  # other figures are on the other page
        patch.setattr(paper, "DRAW", {"losses": paper.DRAW["losses"]})
        page.write_page(folder)
    return folder


class Page(html.parser.HTMLParser):
    """Texts, tags and links of a page; fails where tags are not closed in order."""

    def __init__(self, run):
        super().__init__()
        self.source = (run / "report" / "index.html").read_text(encoding="utf-8")
        self.measured = json.loads((run / "metrics.json").read_text())
        self.open, self.texts, self.links, self.tags, self.ids = [], [], [], [], []
        self.feed(self.source)
        assert not self.open
        self.text = " ".join(" ".join(self.texts).split())

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
        self.texts.append(data)


def test_a_page_needs_nothing_else(evaluated, complete):
    for run in (evaluated, complete):
        shown = Page(run)
        assert [path.name for path in (run / "report").iterdir()] == ["index.html"]
        here = [link[1:] for link in shown.links if link.startswith("#")]
        assert "metrics" in here and set(here) <= set(shown.ids)
        pictures = [link for link in shown.links if not link.startswith("#")]
        assert len(pictures) > 5
        assert all(link.startswith("data:image/") for link in pictures)
        assert not {"script", "link", "iframe"} & set(shown.tags)
        links = r"url\(|@import"
        assert not re.search(links, re.sub(r'"data:[^"]*"', "", shown.source))


def test_every_number_is_on_the_page(evaluated):
    shown = Page(evaluated)
    text, measured = shown.text, shown.measured
    assert len(measured["scores"]) == 3
    for title, score in measured["scores"].items():
        assert f"{title} {100 * score['accuracy']:.2f} %" in text
    low, high = measured["intervals"]["accuracy"]
    assert f"{100 * low:.2f} – {100 * high:.2f} %" in text
    calibrated = measured["calibrated"]
    assert f"the calibration error is {100 * calibrated['ece']:.2f} %" in text
    for row in measured["per_class"]:
        assert f"{row['class']} {row['examples']} {100 * row['recall']:.2f}" in text
    wrong = len(toy.source("test")) - round(21 * measured["metrics"]["accuracy"])
    assert f"{wrong} of 21 answers are wrong" in text
    version = f"jaxlib {jaxlib.__version__}"
    for part in ("Grey squares.", "data.val_fraction 0.2", version):
        assert part in text
    assert "negatives: " in text  # a figure that a baseline cannot have, and why
    for section in ("Robustness", "Groups of people", "On other data sets"):
        assert section not in text
    assert text.count("Not measured: ") == 4


def test_groups(complete):
    shown = Page(complete)
    charts = [link for link in shown.links if link.startswith("data:image/svg")]
    assert len(charts) == 5  # "nothing" has no groups
    columns = shown.measured["groups"]["columns"]
    sentence = columns[1]["gap"]["sentence"]
    assert "young above old" in sentence and "more than chance" in sentence
    for part in (
        *(sentence, "A note.", "age $x$ * Fewer than 50 images", f"{HOSTILE} * 20 "),
        "3 images belong to no known group.",
        "Does it serve all people alike? age $x$: too few images to compare. glasses: ",
        "points at most at equal classes, young above old, more than chance. nothing: ",
    ):
        assert part in shown.text
    assert shown.text.count("There are no two groups of 50 images or more") == 2
    for group in (group for column in columns for group in column["groups"]):
        low, high = group["intervals"]["accuracy"]
        cells = f"{group['examples']} {100 * group['accuracy']:.1f}"
        assert f"{cells} {100 * low:.1f} to {100 * high:.1f}" in shown.text
        for row in group["per_class"]:
            assert f"{100 * row['recall']:.1f} ({row['examples']})" in shown.text


def test_worse_images_and_evaluations_of_this_network_on_other_data_sets(complete):
    text = Page(complete).text
    rows = [
        f"{name} test 8 2 of 3 {accuracy} 10.00 – 90.00 12.50 40.00 30.00"
        for name, accuracy in (("a", "50.00"), ("b", "25.00"))
    ]
    for part in (
        " ".join(rows),
        "b, test: left out: <b>.",
        "60.00 % on the images as they are, 30.00 % are left on average over 10",
        "30.0 % are right on average over 10 corruptions, beside 60.0 % without; least "
        "with noise, 24.0 %.",
        "a: 50.0 % of 8 images, where the most frequent class has 40.0 %. b: 25.0 %",
    ):
        assert part in text
    assert "c test 8" not in text  # of another network


def test_what_is_shown_as_mistakes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    p = rng.dirichlet(np.ones(3), 60).astype(np.float32)
    ids = tuple(f"image {i}" for i in range(60))
    predicted = predictions.Predictions(ids, labels, p, toy.CLASSES)
    png = toy.source("test").encoded([0])[0]
    gallery = Gallery("toy", labels, 36, lambda some: [png] * len(some))
    shown = page.mistakes(predicted, gallery)
    wrong = p.argmax(axis=1) != labels
    highest = np.sort(p.max(axis=1)[wrong])[: -page.MISTAKES - 1 : -1]
    assert [mistake["confidence"] for mistake in shown] == highest.tolist()
    for mistake in shown:
        i = ids.index(mistake["name"])
        assert mistake["label"] == toy.CLASSES[labels[i]] != mistake["prediction"]


def test_a_run_must_be_evaluated_by_this_version_on_these_images(run, capsys):
    def error():
        assert command.main([str(run)], "report") == 1
        return capsys.readouterr().err

    predicted = run / "predictions.csv"
    lines = predicted.read_text().splitlines(keepends=True)
    predicted.write_text("".join(lines[:-1]))
    assert "not of the same images: evaluate the run again" in error()
    measured = json.loads((run / "metrics.json").read_text())
    del measured["flip"], measured["seed"]
    (run / "metrics.json").write_text(json.dumps(measured))
    assert "has no flip, seed: evaluate the run again" in error()
    (run / "metrics.json").unlink()
    assert "run qcs-jax evaluate with its configuration" in error()


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
    assert main.run("eval", toy.config(**toy.HELD_OUT), run, "command") == 0
    printed = capsys.readouterr().out
    assert "there is no report: figures and the report need jinja2: pip" in printed
    assert (run / "metrics.json").exists() and not (run / "report").exists()


NAMES = ("calm", "sad", "mad")
LABELS = np.arange(300) % 3
RIGHT = "Is it right?"
CALIBRATION = "Does it know when it is wrong?"


def answered(share=0.8, temperature=None, sharper=1.0):
    """What is measured of made-up answers, the answers to the questions, and logits."""
    rng = np.random.default_rng(0)
    chosen = np.where(rng.random(300) < share, LABELS, (LABELS + 1) % 3)
    logits = np.eye(3)[chosen] * rng.uniform(1, 6, (300, 1)) * sharper
    logits = logits.astype(np.float32)
    measured = results.measure(NAMES, LABELS, logits, logits, temperature)
    text = page.TEMPLATES.get_template("trust.html.jinja").render(
        measured=measured | {"seed": 4},
        confidence=probabilities(logits).astype(np.float32).max(axis=1),
        correct=logits.argmax(axis=1) == LABELS,
        elsewhere=[],
        drawings=True,
    )
    rows = re.findall(r"<dt>(.*?)</dt>\s*<dd.*?>(.*?)</dd>", text, re.DOTALL)
    text = {re.sub("<.*?>", "", q): " ".join(html.unescape(x).split()) for q, x in rows}
    return measured, text, logits


def test_the_numbers_are_those_that_were_measured():
    measured, text, logits = answered()
    accuracy = measured["metrics"]["accuracy"]
    assert f"{100 * accuracy:.1f} % of 300 answers" in text[RIGHT]
    assert "no better than not looking" not in text[RIGHT]
    worst = min(measured["per_class"], key=lambda row: row["recall"])
    start = f"{worst['class']}: {100 * worst['recall']:.1f} % of 100"
    assert text["What does it recognise worst?"].startswith(start)
    sure = probabilities(logits).max(axis=1) >= 0.9
    share = 100 * np.mean(logits.argmax(axis=1)[sure] == LABELS[sure])
    right = f"are 90 % sure or more, {share:.1f} % are right"
    assert f"Of the {sure.sum()} answers that {right}" in text[CALIBRATION]


def test_what_is_no_better_than_guessing_or_over_and_underconfident():
    assert "no better than not looking" in answered(0.33)[1][RIGHT]
    for sharper, how in ((1 / 3, "less"), (50 / 3, "more")):
        text = answered(0.95, sharper=sharper)[1][CALIBRATION]
        assert f"points {how} confident" in text


@pytest.mark.parametrize("temperature, helps", [(1.8, 1), (0.2, 0), (1.0, 0)])
def test_a_temperature_is_praised_only_if_it_helps(temperature, helps):
    measured, texts, _ = answered(0.6, temperature, sharper=3)
    text = texts[CALIBRATION]
    scaled, error = measured["calibrated"]["ece"], measured["metrics"]["ece"]
    assert (scaled < error) == helps
    praise = f"{temperature:.2f} brings the error to {100 * scaled:.1f} %"
    assert (praise in text) == ("temperature" in text) == helps
