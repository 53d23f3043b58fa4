"""Class names of published data sets, in the order of their labels."""

from __future__ import annotations

_AFFECTNET = (
    *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"),
    "contempt",
)

CLASS_NAMES = {
    "raf_db": tuple("surprise fear disgust happiness sadness anger neutral".split()),
    "ferplus": tuple(
        "neutral happiness surprise sadness anger disgust fear contempt".split()
    ),
    "affectnet/7": _AFFECTNET[:7],
    "affectnet/8": _AFFECTNET,
}
