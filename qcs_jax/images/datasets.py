"""What is known of data sets: class names, in the order of the labels."""

from __future__ import annotations

_NAMES = {
    "raf_db": "surprise fear disgust happiness sadness anger neutral",
    "fer2013": "anger disgust fear happiness sadness surprise neutral",
    "ferplus": "neutral happiness surprise sadness anger disgust fear contempt",
    "affectnet/7": "neutral happiness sadness surprise fear disgust anger",
    "affectnet/8": "neutral happiness sadness surprise fear disgust anger contempt",
}
DRAWN = ("synthetic_faces",)  # those without photographs
CLASS_NAMES = {data_set: tuple(names.split()) for data_set, names in _NAMES.items()}
