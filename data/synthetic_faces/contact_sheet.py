"""Draws what the synthetic faces can look like, for a person to judge.

    python -m data.synthetic_faces.contact_sheet faces.png

The first seven rows are the classes: one face at growing intensity, then random faces.
Below, one row per nuisance, with everything else held still.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from qcs_jax.system import command

from . import expression, nuisance, renderer
from .nuisance import Nuisances

_COLUMNS = 14
_LABEL_WIDTH = 84
_SIDE = renderer.IMAGE_SIZE

_RANGES = {
    "face_width": np.linspace(0.9, 1.1, 7),
    "jaw_width": np.linspace(0.88, 1.12, 7),
    "eye_gap": np.linspace(0.9, 1.1, 7),
    "nose_width": np.linspace(0.8, 1.2, 7),
    "lip_fullness": np.linspace(0.7, 1.3, 7),
    "roll": np.linspace(-12, 12, 7),
    "yaw": np.linspace(-16, 16, 7),
    "pitch": np.linspace(-6, 6, 7),
    "scale": np.linspace(1.25, 1.45, 7),
    "light_angle": np.linspace(-180, 180, 7),
    "exposure": np.linspace(0.8, 1.2, 7),
    "blur": np.linspace(0, 0.5, 7).tolist(),
    "noise": np.linspace(0, 6, 7),
    "skin": range(len(nuisance.SKINS)),
    "iris": range(len(nuisance.IRISES)),
    "hair_color": range(len(nuisance.HAIR_COLORS)),
    "hair_style": range(len(nuisance.HAIR_STYLES)),
    "facial_hair": range(len(nuisance.FACIAL_HAIR)),
    "glasses": range(len(nuisance.GLASSES)),
    "shirt": range(len(nuisance.SHIRTS)),
    "background": range(len(nuisance.BACKGROUNDS)),
    "occlusion": range(len(nuisance.OCCLUSIONS)),
}
# What a nuisance needs to be seen.
_NEEDS = {
    "light_angle": {"light_strength": 0.4},
    "shirt": {"scale": 1.2, "shift_y": -0.05},
}


def class_row(label: int) -> list[Image.Image]:
    """Draws one class: seven intensities of one face, then seven random faces."""
    faces = []
    for intensity in np.linspace(0.4, 1.0, 7):
        au, _ = expression.sample(np.random.default_rng(1), label, float(intensity))
        faces.append(renderer.render(au, Nuisances(), np.random.default_rng(0)))
    classes = len(expression.CLASS_NAMES)
    for k in range(_COLUMNS - 7):
        faces.append(renderer.draw_sample(7, "test", label + classes * k).image)
    return faces


def nuisance_row(name: str) -> list[Image.Image]:
    """Draws one nuisance on a neutral and on a happy face."""
    faces = []
    for label in (0, 1):
        au, _ = expression.sample(np.random.default_rng(0), label, 0.9)
        for value in _RANGES[name]:
            one = Nuisances(**{**_NEEDS.get(name, {}), name: value})
            faces.append(renderer.render(au, one, np.random.default_rng(0)))
    return faces


def draw_sheet() -> Image.Image:
    """Returns all rows, labelled."""
    rows = {name: class_row(k) for k, name in enumerate(expression.CLASS_NAMES)}
    rows |= {name: nuisance_row(name) for name in _RANGES}
    sheet = Image.new(
        "RGB", (_LABEL_WIDTH + _COLUMNS * _SIDE, len(rows) * _SIDE), "white"
    )
    pen = ImageDraw.Draw(sheet)
    for row, (name, faces) in enumerate(rows.items()):
        pen.text((4, row * _SIDE + _SIDE // 2), name, fill="black")
        for column, image in enumerate(faces):
            sheet.paste(image, (_LABEL_WIDTH + column * _SIDE, row * _SIDE))
    return sheet


def main() -> int:
    """Writes the sheet where the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, help="PNG file to write")
    out = parser.parse_args().out
    return command.run(lambda: draw_sheet().save(out))


if __name__ == "__main__":
    command.start(main)
