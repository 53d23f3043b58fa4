"""Gathers what a run left in its folder, and writes the page."""

from __future__ import annotations

import datetime
import json
import pathlib

from qcs_jax import checkpoint
from qcs_jax.config import base_config, flatten
from qcs_jax.evaluate import groups, predictions
from qcs_jax.evaluate.counts import BINS
from qcs_jax.evaluate.results import NAMES
from qcs_jax.evaluate.run_log import METRICS_FILE
from qcs_jax.figures import FIGURES, PAGE, elsewhere, pictures, trust
from qcs_jax.figures.scene import Scene
from qcs_jax.input import sources
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


def write(workdir: str | pathlib.Path, data_dir: str = "") -> pathlib.Path:
    """Writes `workdir/report/index.html` about the checkpoint that was evaluated.

    Args:
      workdir: Workdir of a run that `--mode=eval` has evaluated.
      data_dir: Root of prepared data sets; default that of the run.

    Returns:
      The page. It needs no network and no other file.

    Raises:
      UserError: if the run was not evaluated, or its checkpoint or data are gone.
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
    figures, missing = pictures.draw(scene)
    figures |= pictures.of_reliability(predicted)
    robustness = measured.get("robustness")
    if robustness:
        landmarks = measured["landmarks"]
        first = predicted.ids[0]
        figures |= pictures.of_robustness(robustness, gallery, first, landmarks)
    others = elsewhere.find(workdir, scene.trained.digest)
    grouped = measured.get("groups")
    accuracy = measured["metrics"]["accuracy"]
    html = _template().render(
        name=config.name,
        date=datetime.date.today().isoformat(),
        measured=measured,
        robustness=robustness,
        groups=grouped,
        group_charts=pictures.of_groups(grouped, accuracy) if grouped else {},
        remarks=groups.remarks,
        elsewhere=others,
        rows=NAMES,
        figures=figures,
        captions=FIGURES | pictures.OF_ROBUSTNESS | pictures.RELIABILITY,
        answers=trust.answers(measured, predicted, others, drawn=scene.trained.drawn),
        bins=BINS,
        vectors=pictures.VECTORS,
        missing=missing,
        mistakes=pictures.mistakes(predicted, gallery),
        wrong=int((~predicted.correct).sum()),
        card=sources.card(config.data.name, data_dir or config.data.dir),
        splits={name: len(labels) for name, labels in scene.splits.items()},
        fields=_fields(config.to_dict()),
    )
    file = workdir / PAGE
    file.parent.mkdir(exist_ok=True)
    write_text(file, html)
    return file


def _measured(workdir: pathlib.Path) -> dict:
    try:
        measured = json.loads((workdir / METRICS_FILE).read_text(encoding="utf-8"))
        missing = sorted(_SHOWN - measured.keys())
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{workdir} has no evaluation to report ({error}): run "
            f"qcs-jax evaluate with its configuration first"
        ) from error
    if missing:
        raise UserError(
            f"{workdir / METRICS_FILE} has no {', '.join(missing)}: evaluate the run "
            f"again"
        )
    return measured


def _fields(config: dict) -> list[tuple[str, object, bool]]:
    """Every field of a configuration, its value, and whether it is not the default."""
    default = json.loads(json.dumps(flatten(base_config())))
    return [
        (field, value, value != default.get(field))
        for field, value in flatten(config).items()
    ]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda x: "–" if x is None else f"{100 * x:.2f}"
    environment.filters["tenths"] = lambda x: "–" if x is None else f"{100 * x:.1f}"
    environment.filters["value"] = _value
    return environment.get_template("page.html.jinja")


def _value(metric: float, name: str) -> str:
    """NLL and Brier score as they are, the others in percent."""
    return f"{metric:.4f}" if name in ("nll", "brier") else f"{100 * metric:.2f} %"
