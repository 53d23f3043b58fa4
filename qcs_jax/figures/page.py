"""Gathers what a run left in its folder, and writes the page."""

from __future__ import annotations

import base64
import datetime
import io
import json
import pathlib

import numpy as np
from PIL import Image

from qcs_jax import checkpoint
from qcs_jax.config import base_config, flatten
from qcs_jax.evaluate import groups, predictions
from qcs_jax.evaluate.counts import BINS
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.evaluate.results import NAMES
from qcs_jax.evaluate.runs import METRICS_FILE, read_json
from qcs_jax.figures import FIGURES, PAGE, Unavailable, charts, maps, paper, style
from qcs_jax.figures.paper import Gallery, Scene
from qcs_jax.input import sources
from qcs_jax.predict.align import TEMPLATE
from qcs_jax.system import extras
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_text

with extras.named():
    import jinja2

# What the page shows of an evaluation.
_SHOWN = frozenset(
    "step chosen dataset split examples seed scores metrics intervals flip per_class "
    "calibrated notes versions".split()
)
CAPTIONS = FIGURES | {
    "reliability": "how often answers are right, by their confidence",
    "robustness": "accuracy on worse images, by what was done to them",
    "corruptions": "the first test image as it is, and at every severity",
}
# Figures with faces are pixels; those made of lines and text stay sharp as vectors.
_PIXELS = frozenset({"heatmaps", "attention", "negatives", "matrices", "corruptions"})
_DPI = 160
MISTAKES = 24  # faces shown
_FACE_SIDE = 96

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, ""),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "percent": lambda x: "–" if x is None else f"{100 * x:.2f}",
    "tenths": lambda x: "–" if x is None else f"{100 * x:.1f}",
    "mean": lambda x: float(np.mean(x)),
}


def write_page(workdir: str | pathlib.Path, data_dir: str = "") -> pathlib.Path:
    """Writes and returns `workdir/report/index.html`, which needs no other file.

    `data_dir` is the root of prepared data sets, default that of the run. Raises
    UserError if the run was not evaluated, or its checkpoint or data are gone.
    """
    workdir = pathlib.Path(workdir)
    measured = _measured(workdir)
    path = workdir / checkpoint.FOLDER / str(measured["step"])
    scene = Scene(path, data_dir=data_dir)
    if doubt := scene.trained.doubt:
        raise UserError(doubt)
    config, gallery = scene.trained.config, scene.gallery
    answers = workdir / predictions.PREDICTIONS_FILE
    predicted = predictions.read(answers)
    if predicted.labels.tolist() != gallery.labels.tolist():
        raise UserError(
            f"{answers} and {gallery.name} are not of the same images: evaluate the "
            f"run again"
        )
    figures, missing = _figures(scene, measured, predicted)
    html = TEMPLATES.get_template("page.html.jinja").render(
        name=config.name,
        date=datetime.date.today().isoformat(),
        measured=measured,
        confidence=predicted.probabilities.max(axis=1),
        correct=predicted.correct,
        remarks=groups.remarks,
        elsewhere=_elsewhere(workdir, scene.trained.digest),
        drawings=scene.trained.drawn,
        rows=NAMES,
        figures=figures,
        captions=CAPTIONS,
        bins=BINS,
        pixels=_PIXELS,
        missing=missing,
        mistakes=mistakes(predicted, gallery),
        card=sources.card(config.data.name, data_dir or config.data.dir),
        splits=scene.splits,
        fields=flatten(config.to_dict()),
        defaults=json.loads(json.dumps(flatten(base_config()))),
    )
    file = workdir / PAGE
    file.parent.mkdir(exist_ok=True)
    write_text(file, html)
    return file


def _measured(workdir: pathlib.Path) -> dict:
    measured = read_json(workdir / METRICS_FILE)
    if not measured:
        raise UserError(
            f"{workdir} has no evaluation to report: run qcs-jax evaluate with its "
            f"configuration first"
        )
    if missing := sorted(_SHOWN - measured.keys()):
        raise UserError(
            f"{workdir / METRICS_FILE} has no {', '.join(missing)}: evaluate the run "
            f"again"
        )
    return measured


def _elsewhere(workdir: pathlib.Path, network: str) -> list[dict]:
    """Evaluations of this network, by its digest, on other data sets."""
    evaluations = []
    for file in workdir.glob(f"on_*/{METRICS_FILE}"):
        try:
            measured = _measured(file.parent)
            if measured["fingerprint"]["network"] == network:
                evaluations.append(measured)
        except (UserError, KeyError, TypeError):
            continue  # of another version, or not an evaluation
    return sorted(evaluations, key=lambda x: (x["dataset"], x["split"], x["notes"]))


def _figures(
    scene: Scene, measured: dict, predicted: Predictions
) -> tuple[dict[str, str], dict[str, str]]:
    """Data URIs of the figures that the run can have, and why others are missing."""
    figures, missing = {}, {}
    for name, draw in paper.DRAW.items():
        try:
            figures[name] = draw(scene)
        except Unavailable as error:
            missing[name] = str(error)
    confidence = predicted.probabilities.max(axis=1)
    figures["reliability"] = charts.reliability(confidence, predicted.correct)
    if robustness := measured.get("robustness"):
        landmarks = measured["landmarks"]
        places = TEMPLATE if landmarks is None else np.array(landmarks)
        [face] = scene.gallery.pixels([0])
        figures["corruptions"] = maps.corruptions(face, predicted.ids[0], places)
        accuracy, clean = robustness["accuracy"], robustness["clean"]
        figures["robustness"] = charts.robustness(accuracy, clean)
    for column in measured.get("groups", {}).get("columns", []):
        if column["groups"]:
            chart = charts.groups(column, measured["metrics"]["accuracy"])
            figures[f"groups by {column['column']}"] = chart
    return {name: _embedded(x, name in _PIXELS) for name, x in figures.items()}, missing


def mistakes(predicted: Predictions, gallery: Gallery) -> list[dict]:
    """Returns the wrong answers of highest confidence, and the faces as data URIs."""
    wrong = np.flatnonzero(~predicted.correct)
    confidence = predicted.probabilities.max(axis=1)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    names = predicted.class_names
    return [
        {
            "name": predicted.ids[i],
            "label": names[predicted.labels[i]],
            "prediction": names[predicted.predicted[i]],
            "confidence": float(confidence[i]),
            "source": _face(gallery.pixels([i])[0]),
        }
        for i in shown.tolist()
    ]


def _face(pixels: np.ndarray) -> str:
    face = Image.fromarray(pixels)
    face.thumbnail((_FACE_SIDE, _FACE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=88)
    return _uri("jpeg", buffer.getvalue())


def _embedded(figure: style.Figure, pixels: bool) -> str:
    kind, mime = ("png", "png") if pixels else ("svg", "svg+xml")
    return _uri(mime, style.encoded(figure, kind, _DPI))


def _uri(mime: str, data: bytes) -> str:
    return f"data:image/{mime};base64,{base64.b64encode(data).decode('ascii')}"
