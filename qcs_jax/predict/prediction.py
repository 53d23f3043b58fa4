"""What a classifier answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one face.

    Attributes:
      label: Name of the most probable class.
      probabilities: float64 `[k]`, in the order of `class_names`; their sum is 1.
      class_names: k names.
      path: Path of the file, or None if the face was not a file.
    """

    label: str
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    path: str | None = None

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        class_names: tuple[str, ...],
        path: str | None = None,
    ) -> Prediction:
        """Names the most probable class."""
        label = class_names[probabilities.argmax()]
        return cls(label, probabilities, class_names, path)

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return float(self.probabilities.max())

    def top(self, n: int) -> list[tuple[str, float]]:
        """Returns the n most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:n]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """Returns file, label and probabilities as JSON has them."""
        p = dict(zip(self.class_names, self.probabilities.tolist(), strict=True))
        return {"file": self.path, "label": self.label, "probabilities": p}

    def __str__(self) -> str:
        return f"{self.label} ({self.confidence:.3f})"


@dataclasses.dataclass(frozen=True)
class Failure:
    """Stands, among several answers, for a face that could not be read.

    Attributes:
      error: Why.
      path: Path of the file, or None if the face was not a file.
    """

    error: str
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns file and error as JSON has them."""
        return {"file": self.path, "error": self.error}

    def __str__(self) -> str:
        return self.error if self.path is None else f"{self.path}: {self.error}"
