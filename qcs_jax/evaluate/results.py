"""What an evaluation measured, as numbers and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize

from qcs_jax.evaluate.counts import Counts, log_softmax, probabilities
from qcs_jax.evaluate.runs import METRIC
from qcs_jax.evaluate.uncertainty import LEVEL, intervals

LOWEST, HIGHEST = 1e-2, 1e2  # temperature

NAMES = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "ece": "calibration error",
}


def measure(
    class_names: Sequence[str],
    labels: np.ndarray,
    logits: np.ndarray,
    mirrored_logits: np.ndarray,
    temperature: float | None = None,
) -> dict:
    """Returns what is measured on a split, as `metrics.json` has it under these names.

    examples; class_names; metrics; intervals (95 %, bootstrap); per_class; confusion
    (rows are labels); flip: metrics of the mean probability of an image and its mirror
    image; calibrated: a temperature from `fit_temperature`, and what it makes of nll,
    brier and ece, or None where no images were held out. Logits are float32 `[N, k]`.
    """
    counts = Counts.of(logits, labels)
    both = (probabilities(logits) + probabilities(mirrored_logits)) / 2
    both = np.log(np.maximum(both, np.finfo(float).tiny))
    calibrated = None
    if temperature is not None:
        scaled = Counts.of(logits.astype(np.float64) / temperature, labels).metrics()
        calibrated = {"temperature": temperature}
        calibrated |= {name: scaled[name] for name in ("nll", "brier", "ece")}
    return {
        "examples": len(labels),
        "class_names": list(class_names),
        "metrics": counts.metrics(),
        "intervals": {"level": LEVEL, **intervals(counts.confusion)},
        "per_class": [
            {"class": name, **row}
            for name, row in zip(class_names, counts.per_class(), strict=True)
        ],
        "confusion": counts.confusion.tolist(),
        "flip": Counts.of(both, labels).metrics(),
        "calibrated": calibrated,
    }


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the T that minimises the mean negative log likelihood of `logits / T`.

    The likelihood has one optimum in 1 / T; it is searched between `LOWEST` and
    `HIGHEST`, where it lies at an end for images that are all right or all wrong.
    Logits, `[m, k]`, are those of held-out images, never of those that are reported.
    """

    def nll(log_t: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_t)
        return -log_softmax(scaled)[np.arange(len(labels)), labels].mean()

    bounds = np.log([LOWEST, HIGHEST])
    return float(np.exp(optimize.fminbound(nll, *bounds, xtol=1e-6)))


def table(measured: dict) -> str:
    """Returns what the terminal shows of `measure`."""
    import pandas as pd

    metrics, rows = measured["metrics"], []
    for key, name in NAMES.items():
        text = f"{metrics[key]:.4f}"
        if key in measured["intervals"]:
            low, high = measured["intervals"][key]
            text += f"  95 % interval {low:.4f} to {high:.4f}"
        rows.append((name, text))
        if key == METRIC:
            blind = f"always the most frequent class {metrics['most_frequent']:.4f}"
            rows.append(("", f"{blind}, chance {metrics['chance']:.4f}"))
    text = f"{measured['flip']['accuracy']:.4f}"
    text += "  accuracy of an image and its mirror image together"
    rows.append(("with flip", text))
    if scaled := measured["calibrated"]:
        text = f"{scaled['ece']:.4f}  calibration error, NLL {scaled['nll']:.4f}, at "
        text += f"temperature {scaled['temperature']:.3f} from held-out images"
        rows.append(("calibrated", text))
    width = max(map(len, [*dict(rows), *measured["class_names"]]))
    of_class = pd.DataFrame(measured["per_class"]).set_index("class")
    of_class = of_class[["recall", "precision", "f1", "examples"]]
    of_class.columns = ["recall", "precision", "F1", "images"]
    of_class = of_class.rename_axis(index=None, columns="class".ljust(width))
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    lines.append(of_class.to_string(float_format="{:.4f}".format, na_rep="-"))
    return textwrap.indent("\n".join(lines), "  ")


def robustness(accuracy: Mapping[str, Sequence[float]], clean: float) -> dict:
    """Returns what `metrics.json` has under "robustness" (Hendrycks, Dietterich 2019).

    accuracy of each corruption, by severity; clean, that of the images as they are;
    mean: over corruptions and severities ("mean corruption accuracy"); kept: the part
    of the clean accuracy that this is, None if that is 0.
    """
    mean = float(np.mean(list(accuracy.values())))
    kept = mean / clean if clean else None
    lists = {name: list(values) for name, values in accuracy.items()}
    return {"accuracy": lists, "clean": clean, "mean": mean, "kept": kept}


def robustness_table(measured: Mapping) -> str:
    """Returns what the terminal shows of `robustness`, in percent."""
    import pandas as pd

    frame = 100 * pd.DataFrame(measured["accuracy"]).T
    frame.columns = [f"severity {i + 1}" for i in frame]
    frame["mean"] = frame.mean(axis=1)
    kept = "" if measured["kept"] is None else f", {measured['kept']:.0%} of it"
    text = frame.rename_axis(columns="corruption").to_string(float_format="%.1f")
    mean, clean = 100 * measured["mean"], 100 * measured["clean"]
    about = f"mean corruption accuracy {mean:.1f}, without corruption {clean:.1f}{kept}"
    return textwrap.indent(f"{text}\n{about}", "  ")
