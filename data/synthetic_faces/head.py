"""Head, hair, beard, glasses and what is in front of them: nothing of it expresses."""

import numpy as np

from . import nuisance
from .canvas import CIRCLE, Canvas, curve, mix, shade
from .expression import ActionUnits
from .face import EYE_Y, eye_x
from .nuisance import Color, Nuisances

_HALF_WIDTH = 0.78
_OCCLUDERS: tuple[Color, ...] = ((240, 240, 240), (60, 66, 80))


def outline(au: ActionUnits, n: Nuisances, grow: float = 1.0) -> np.ndarray:
    """Returns the contour of the head, [48, 2], clockwise from the right ear."""
    angle = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    below = np.maximum(y, 0.0)
    x = x * (1.0 - (1.0 - 0.82 * n.jaw_width) * below**1.5)
    # An open jaw lengthens the face below the ears only.
    y = y + below * 0.12 * au.jaw_drop
    return grow * np.stack([_HALF_WIDTH * n.face_width * x, y], axis=1)


def draw_behind(canvas: Canvas, n: Nuisances, skin: Color, hair: Color) -> None:
    """Draws shoulders, neck and the hair that falls behind the face."""
    style = nuisance.HAIR_STYLES[n.hair_style]
    dark = shade(hair, 0.75)
    if style == "long":
        sides = curve((0.6, -0.85), (1.35, 0.2), (1.05, 1.4), (0.4, 1.6))
        lock = np.concatenate([sides, sides[::-1] * [-1, 1]])
        canvas.polygon(lock, dark, flat=True)
    if style == "bun":
        canvas.ellipse((0.0, -1.2), (0.3, 0.28), dark, flat=True)
    if style == "curly":
        for angle in np.linspace(np.pi * 0.92, np.pi * 2.08, 11):
            at = (0.86 * np.cos(angle), -0.15 + 0.92 * np.sin(angle))
            canvas.ellipse(at, (0.26, 0.26), dark, flat=True)
    neck = np.array([[-0.32, 0.6], [0.32, 0.6], [0.36, 1.3], [-0.36, 1.3]])
    canvas.polygon(neck, shade(skin, 0.78), flat=True)
    shoulder = curve((0.25, 1.16), (1.0, 1.2), (1.35, 2.2))
    shirt = np.concatenate([shoulder, shoulder[::-1] * [-1, 1]])
    canvas.polygon(shirt, nuisance.SHIRTS[n.shirt], flat=True)


def draw_head(canvas: Canvas, au: ActionUnits, n: Nuisances, skin: Color) -> None:
    """Draws ears, face and rosy cheeks."""
    for side in (-1, 1):
        x = side * _HALF_WIDTH * n.face_width
        canvas.ellipse((x, -0.02), (0.12, 0.2), shade(skin, 0.92))
        canvas.ellipse((x, -0.02), (0.06, 0.12), shade(skin, 0.76))
    canvas.polygon(outline(au, n, 1.02), shade(skin, 0.72))
    canvas.polygon(outline(au, n), skin)
    for side in (-1, 1):
        center = (side * 0.48 * n.face_width, 0.26 - 0.05 * au.cheek_raise)
        canvas.ellipse(center, (0.15, 0.11), mix(skin, (226, 96, 92), 0.16))


def draw_hair(canvas: Canvas, au: ActionUnits, n: Nuisances, hair: Color) -> None:
    """Draws the hair in front of the head."""
    style = nuisance.HAIR_STYLES[n.hair_style]
    if style == "bald":
        return
    head = outline(au, n, 1.1)
    crown = head[head[:, 1] < -0.22]  # clockwise: left temple, top, right temple
    left, right = crown[0] * [0.97, 1.0], crown[-1] * [0.97, 1.0]
    # Two arcs from temple to temple, that meet at the parting.
    right_arc, parting, left_arc = {
        "short": ((0.62, -0.66), (0.28, -0.78), (-0.62, -0.72)),
        "fringe": ((0.6, -0.52), (0.0, -0.6), (-0.6, -0.52)),
        "long": ((0.6, -0.6), (0.0, -0.9), (-0.6, -0.6)),
        "curly": ((0.5, -0.6), (0.0, -0.66), (-0.5, -0.6)),
        "bun": ((0.6, -0.75), (0.0, -0.78), (-0.6, -0.75)),
    }[style]
    hairline = np.concatenate(
        [curve(right, right_arc, parting), curve(parting, left_arc, left)]
    )
    canvas.polygon(np.concatenate([crown, hairline]), hair)
    shine = curve((-0.45, -0.83), (0.0, -1.02), (0.4, -0.86))
    canvas.stroke(shine, 0.05, mix(hair, (255, 255, 255), 0.2))


def draw_facial_hair(
    canvas: Canvas, au: ActionUnits, n: Nuisances, skin: Color, hair: Color
) -> None:
    """Draws stubble, moustache or beard, below the mouth's own layer."""
    kind = nuisance.FACIAL_HAIR[n.facial_hair]
    if kind in ("stubble", "beard"):
        jaw = outline(au, n, 1.0 if kind == "stubble" else 1.04)
        jaw = jaw[jaw[:, 1] > 0.1]
        upper_edge = curve(jaw[-1], (-0.5, 0.62), (-0.3, 0.3), (0.0, 0.34))
        mirrored = curve((0.0, 0.34), (0.3, 0.3), (0.5, 0.62), jaw[0])
        color = mix(skin, hair, 0.3) if kind == "stubble" else shade(hair, 0.85)
        canvas.polygon(np.concatenate([jaw, upper_edge, mirrored]), color)
    if kind == "beard":  # bare skin around the mouth keeps it readable
        canvas.ellipse((0.0, 0.55), (0.36, 0.2), mix(skin, hair, 0.15))
    if kind == "moustache":
        for side in (-1, 1):
            wing = curve((0.0, 0.36), (side * 0.2, 0.31), (side * 0.3, 0.46))
            canvas.stroke(wing, np.linspace(0.1, 0.03, 12), hair)


def draw_glasses(canvas: Canvas, n: Nuisances) -> None:
    """Draws a thin frame around the eyes."""
    kind = nuisance.GLASSES[n.glasses]
    if kind == "none":
        return
    color = (46, 42, 50)
    power = 1.0 if kind == "round" else 0.45
    rim = np.sign(CIRCLE) * np.abs(CIRCLE) ** power * [0.27, 0.23]
    rim = np.concatenate([rim, rim[:2]])
    x = eye_x(n)
    for side in (-1, 1):
        canvas.stroke(rim * [side, 1] + [side * x, EYE_Y + 0.02], 0.036, color)
        temple = curve((side * (x + 0.26), EYE_Y), (side * 0.8, EYE_Y - 0.02))
        canvas.stroke(temple, 0.036, color)
    canvas.stroke(
        curve((0.26 - x, EYE_Y), (0.0, EYE_Y - 0.06), (x - 0.26, EYE_Y)), 0.036, color
    )


def draw_occlusion(canvas: Canvas, n: Nuisances) -> None:
    """Covers a small part of the face."""
    kind = nuisance.OCCLUSIONS[n.occlusion]
    center = np.array([n.occlusion_x, n.occlusion_y])
    if kind == "sticker":
        canvas.ellipse(tuple(center), (0.2, 0.2), _OCCLUDERS[0], flat=True)
        canvas.ellipse(tuple(center), (0.14, 0.14), (232, 186, 66), flat=True)
    elif kind == "bar":
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [0.08, 1.5]
        canvas.polygon(center + corners, _OCCLUDERS[1], flat=True)
