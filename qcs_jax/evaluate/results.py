"""What an evaluation measured, as numbers and as text."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import optimize

from qcs_jax.evaluate.counts import LEVEL, Counts, intervals, log_softmax, probabilities
from qcs_jax.evaluate.run_log import METRIC

LOWEST, HIGHEST = 1e-2, 1e2  # temperature

NAMES = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "macro_f1": "macro F1",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "ece": "calibration error",
}


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that is measured on one split.

    Attributes:
      class_names: k names.
      labels: int `[N]`.
      logits: float32 `[N, k]`.
      mirrored_logits: float32 `[N, k]`, of the same images flipped left to right.
      temperature: Fitted on held-out images, or None where none were held out.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    mirrored_logits: np.ndarray
    temperature: float | None

    @classmethod
    def of(
        cls,
        class_names: tuple[str, ...],
        labels: np.ndarray,
        logits: np.ndarray,
        mirrored_logits: np.ndarray,
        held_out: tuple[np.ndarray, np.ndarray] | None,
    ) -> Results:
        """Fits the temperature on `held_out`: logits `[m, k]` and labels int `[m]`."""
        temperature = fit_temperature(*held_out) if held_out else None
        return cls(class_names, labels, logits, mirrored_logits, temperature)

    @property
    def probabilities(self) -> np.ndarray:
        """float64 `[N, k]`, of the images as they are, not scaled."""
        return probabilities(self.logits)

    def to_json(self) -> dict:
        """Returns all of it, as `metrics.json` has it under these names.

        metrics; intervals (95 %, bootstrap); per_class; confusion (rows are labels);
        flip: metrics of the mean probability of an image and its mirror image;
        calibrated: temperature, and what it makes of nll, brier and ece, or None.
        """
        counts = Counts.of(self.logits, self.labels)
        both = (self.probabilities + probabilities(self.mirrored_logits)) / 2
        both = np.log(np.maximum(both, np.finfo(float).tiny))
        return {
            "examples": len(self.labels),
            "class_names": list(self.class_names),
            "metrics": counts.metrics(),
            "intervals": {"level": LEVEL, **intervals(counts.confusion)},
            "per_class": [
                {"class": name, **row}
                for name, row in zip(self.class_names, counts.per_class(), strict=True)
            ],
            "confusion": counts.confusion.tolist(),
            "flip": Counts.of(both, self.labels).metrics(),
            "calibrated": self._calibrated(),
        }

    def _calibrated(self) -> dict[str, float] | None:
        if self.temperature is None:
            return None
        scaled = self.logits.astype(np.float64) / self.temperature
        metrics = Counts.of(scaled, self.labels).metrics()
        kept = ("nll", "brier", "ece")
        return {"temperature": self.temperature} | {n: metrics[n] for n in kept}


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the T that minimises the mean negative log likelihood of `logits / T`.

    The likelihood has one optimum in 1 / T; it is searched between `LOWEST` and
    `HIGHEST`, where it lies at an end for images that are all right or all wrong.

    Args:
      logits: `[m, k]` of held-out images, never of those that are reported.
      labels: int `[m]`.
    """

    def nll(log_t: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_t)
        return -log_softmax(scaled)[np.arange(len(labels)), labels].mean()

    bounds = np.log([LOWEST, HIGHEST])
    return float(np.exp(optimize.fminbound(nll, *bounds, xtol=1e-6)))


def without_looking(metrics: dict) -> str:
    """What accuracy is to be seen beside, in words."""
    return (
        f"always the most frequent class {metrics['most_frequent']:.4f}, "
        f"chance {metrics['chance']:.4f}"
    )


def table(measured: dict) -> str:
    """Returns what the terminal shows of `Results.to_json`."""
    width = max(map(len, [*NAMES.values(), *measured["class_names"], "with flip"]))
    rows = []
    for key, text in NAMES.items():
        found = f"{measured['metrics'][key]:.4f}"
        if key in measured["intervals"]:
            low, high = measured["intervals"][key]
            found += f"  95 % interval {low:.4f} to {high:.4f}"
        rows.append((text, found))
        if key == METRIC:
            rows.append(("", without_looking(measured["metrics"])))
    both = f"{measured['flip']['accuracy']:.4f}"
    rows.append(
        ("with flip", f"{both}  accuracy of an image and its mirror image together")
    )
    if scaled := measured["calibrated"]:
        found = f"{scaled['ece']:.4f}  calibration error, NLL {scaled['nll']:.4f}, at "
        found += f"temperature {scaled['temperature']:.3f} from held-out images"
        rows.append(("calibrated", found))
    rows.append(("class", "recall  precision      F1  images"))
    for of_class in measured["per_class"]:
        recall, precision, f1 = (
            "-" if of_class[name] is None else f"{of_class[name]:.4f}"
            for name in ("recall", "precision", "f1")
        )
        found = f"{recall:>6}  {precision:>9}  {f1:>6}  {of_class['examples']:>6}"
        rows.append((of_class["class"], found))
    return "\n".join(f"  {name:<{width}}  {found}" for name, found in rows)
