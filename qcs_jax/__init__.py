"""QCS (Quadruplet Cross Similarity) for facial expression recognition, in JAX.

import qcs_jax

classifier = qcs_jax.load()
print(classifier.predict_photo("photo.jpg"))
"""

from __future__ import annotations

import importlib
from typing import Any

from qcs_jax.system import runtime

__version__ = "1.0.0"
__all__ = [
    "Classifier",
    "Failure",
    "Frame",
    "Photograph",
    "Prediction",
    "__version__",
    "load",
    "to_pandas",
]

_HOMES = {
    "Classifier": "qcs_jax.predict.classifier",
    "Failure": "qcs_jax.predict.answers",
    "Frame": "qcs_jax.predict.answers",
    "Prediction": "qcs_jax.predict.answers",
    "Photograph": "qcs_jax.predict.answers",
    "load": "qcs_jax.predict.classifier",
    "to_pandas": "qcs_jax.predict.answers",
}

runtime.guard()


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: importing the package stays fast.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'qcs_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
