"""Brows, eyes, nose and mouth: the parts that express something.

Every function turns action units into curves in face units and fills them, back to
front. The numbers are lengths in face units, chosen by eye.
"""

import numpy as np

from .canvas import CIRCLE, Canvas, curve, mix, shade
from .expression import ActionUnits
from .nuisance import Color, Nuisances

EYE_Y = -0.14
_EYE_X = 0.36
_BROW_Y = -0.41
_MOUTH_Y = 0.52

_WHITE = (250, 248, 244)
_PUPIL = (28, 22, 24)
_INSIDE = (92, 26, 34)
_TONGUE = (198, 92, 100)
_TEETH = (250, 248, 240)

# -1..1, denser at the ends, where lids and lips curve most.
_T = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 21))
_DOME = 1.0 - _T**2
_OVAL = np.sqrt(_DOME)


def eye_x(nuisances: Nuisances) -> float:
    """Returns how far each eye is from the middle of the face."""
    return _EYE_X * nuisances.eye_gap


def draw_brows(canvas: Canvas, au: ActionUnits, n: Nuisances, color: Color) -> None:
    """Draws both brows: raised, lowered, drawn together."""
    for side in (-1, 1):
        gain = 1.0 + side * n.asymmetry
        inner_up = gain * (0.17 * au.inner_brow_raise - 0.04 * au.outer_brow_raise)
        outer_up = gain * 0.15 * au.outer_brow_raise
        down = gain * au.brow_lower
        together = 0.07 * au.brow_lower + 0.03 * au.nose_wrinkle
        wrinkle = 0.08 * au.nose_wrinkle
        x, y = eye_x(n), _BROW_Y + n.brow_height
        knots = np.array(
            [
                [x - 0.21 - together, y + 0.02 - inner_up + 0.15 * down + wrinkle],
                [x + 0.0, y - 0.09 - 0.5 * inner_up - outer_up + 0.11 * down + wrinkle],
                [x + 0.27, y + 0.03 - 0.7 * outer_up + 0.02 * inner_up],
            ]
        )
        knots[:, 0] *= side
        width = 0.085 * n.brow_thickness * np.linspace(1.0, 0.35, 12)
        canvas.stroke(curve(*knots), width, color)


def draw_eyes(
    canvas: Canvas, au: ActionUnits, n: Nuisances, skin: Color, iris: Color
) -> None:
    """Draws both eyes: wide, narrowed, drooping or smiling."""
    half_width = 0.175 * n.eye_size
    raised = 1.0 + 0.6 * au.upper_lid_raise
    lowered = 0.45 * au.lid_droop + 0.25 * au.lid_tighten + 0.15 * au.cheek_raise
    upper = -0.115 * n.eye_size * (raised - lowered - 0.2 * au.nose_wrinkle) * _DOME
    # A lowered brow presses on the inner corner; a sad lid sags at the outer one.
    frown = au.brow_lower * max(0.0, 1.0 - au.inner_brow_raise)
    upper += 0.06 * frown * (1 - _T) / 2 * _OVAL
    upper += 0.06 * au.lid_droop * (1 + _T) / 2 * _OVAL
    squint = 0.75 * au.cheek_raise + 0.55 * au.lid_tighten + 0.35 * au.nose_wrinkle
    lower = 0.08 * n.eye_size * (1 + 0.3 * au.upper_lid_raise - squint) * _DOME
    lower = np.maximum(lower, upper + 0.035 * _OVAL)
    line = shade(skin, 0.35)
    for side in (-1, 1):
        center = np.array([side * eye_x(n), EYE_Y])
        lids = [
            center + np.stack([side * half_width * _T, y], axis=1)
            for y in (upper, lower)
        ]
        outline = np.concatenate([lids[0], lids[1][::-1]])
        if au.lid_droop > 0.2:  # the lid itself becomes visible
            cover = center + np.stack([side * half_width * _T, upper - 0.05], axis=1)
            canvas.polygon(np.concatenate([cover, lids[0][::-1]]), shade(skin, 0.86))
        canvas.polygon(outline, _WHITE)
        _draw_iris(canvas, lids, center, n, iris)
        canvas.stroke(lids[1], 0.018, shade(skin, 0.6))
        canvas.stroke(lids[0], 0.022 + 0.025 * _OVAL, line)
        _draw_eye_folds(canvas, au, center, side, half_width, skin)


def _draw_iris(
    canvas: Canvas,
    lids: list[np.ndarray],
    center: np.ndarray,
    n: Nuisances,
    color: Color,
) -> None:
    """Draws iris and pupil where the lids, each [21, 2], leave them visible."""
    radius = 0.092 * n.eye_size
    middle = center + [n.gaze_x * radius * 0.6, -0.012]
    ascending = np.argsort(lids[0][:, 0])
    xs = lids[0][ascending, 0]
    top, bottom = lids[0][ascending, 1], lids[1][ascending, 1]
    for share, fill in ((1.0, color), (0.55, _PUPIL)):
        disc = middle + share * radius * CIRCLE
        low, high = np.interp(disc[:, 0], xs, top), np.interp(disc[:, 0], xs, bottom)
        disc[:, 1] = np.clip(disc[:, 1], low, high)
        canvas.polygon(disc, fill)
    glint = middle + np.array([-0.3, -0.3]) * radius
    if np.interp(glint[0], xs, top) < glint[1] < np.interp(glint[0], xs, bottom):
        canvas.ellipse(tuple(glint), (0.022, 0.022), _WHITE)


def _draw_eye_folds(
    canvas: Canvas,
    au: ActionUnits,
    center: np.ndarray,
    side: int,
    half_width: float,
    skin: Color,
) -> None:
    """Draws the bag pushed up by the cheek and the frown lines."""
    bag = max(au.cheek_raise, 0.8 * au.lid_tighten)
    if bag > 0.25:
        fold = center + half_width * np.array([[-0.8, 0.6], [0, 1.1], [1.0, 0.45]])
        fold[:, 0] = center[0] + side * (fold[:, 0] - center[0])
        canvas.stroke(curve(*fold), 0.02 * bag, shade(skin, 0.78))
    if au.brow_lower > 0.35:
        x = side * 0.055
        frown = curve((x * 1.3, -0.42), (x, -0.36), (x, -0.28))
        canvas.stroke(frown, 0.024 * au.brow_lower, shade(skin, 0.7))


def draw_nose(canvas: Canvas, au: ActionUnits, n: Nuisances, skin: Color) -> None:
    """Draws the nose; wrinkling widens and shortens it and creases its root."""
    lift = 0.05 * au.nose_wrinkle
    tip = 0.10 + 0.13 * n.nose_length - lift
    width = 0.125 * n.nose_width * (1 + 0.3 * au.nose_wrinkle)
    dark, light = shade(skin, 0.72), mix(skin, (255, 255, 255), 0.25)
    canvas.stroke(
        curve((0.05, EYE_Y), (0.04, 0.0), (0.03, tip - 0.07)),
        np.linspace(0.02, 0.07, 12),
        light,
    )
    wings = curve((-width, tip - 0.06), (-width, tip + 0.05), (0, tip + 0.02))
    mirrored = wings[::-1] * [-1, 1]
    base = curve((-0.4 * width, tip + 0.01), (0, tip + 0.07), (0.4 * width, tip + 0.01))
    for part in (wings, mirrored, base):
        canvas.stroke(part, 0.026, dark)
    for side in (-1, 1):
        nostril = (side * 0.5 * width, tip + 0.012)
        canvas.ellipse(nostril, (0.028, 0.018), shade(skin, 0.45))
        if au.nose_wrinkle > 0.3:
            for k in range(3):
                y = EYE_Y + 0.02 + 0.065 * k
                reach = 0.1 - 0.012 * k
                crease = curve((side * 0.02, y), (side * reach, y + 0.05 - 0.09))
                canvas.stroke(crease, 0.026 * au.nose_wrinkle, shade(skin, 0.66))


def draw_mouth(canvas: Canvas, au: ActionUnits, n: Nuisances, skin: Color) -> None:
    """Draws lips, teeth, tongue and the folds around them."""
    middle = np.array([0.0, _MOUTH_Y + n.mouth_height + 0.05 * au.jaw_drop])
    half_width = (
        0.28
        * n.mouth_width
        * (
            1
            + 0.32 * au.lip_corner_pull
            + 0.35 * au.lip_stretch
            - 0.32 * au.jaw_drop
            - 0.22 * au.lip_tighten
        )
    )
    top, bottom = _lip_gap(au, n)
    thin = 1.0 - 0.6 * au.lip_tighten - 0.25 * au.lip_stretch
    bow = 1.0 - 0.3 * np.exp(-((_T / 0.22) ** 2))
    fullness = n.lip_fullness * thin * _DOME**0.6
    outer_top = top - 0.06 * fullness * bow
    outer_bottom = bottom + 0.08 * fullness
    lips = mix(skin, (196, 62, 72), 0.5)

    def between(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
        forth = np.stack([half_width * _T, upper], axis=1)
        back = np.stack([half_width * _T, lower], axis=1)[::-1]
        return middle + np.concatenate([forth, back])

    _draw_folds(canvas, au, middle, half_width, float(top[-1]), skin)
    canvas.polygon(between(outer_top, top), shade(lips, 0.86))
    canvas.polygon(between(bottom, outer_bottom), lips)
    if (bottom - top).max() > 0.03:
        canvas.polygon(between(top, bottom), _INSIDE)
        if au.jaw_drop > 0.3:
            tongue = np.maximum(top, bottom - 0.11 * au.jaw_drop * _OVAL)
            canvas.polygon(between(tongue, bottom), _TONGUE)
        # Clenched or stretched lips bare both rows of teeth, a smile the upper one.
        rows = 0.55 + 0.5 * au.lip_tighten + 0.3 * au.lip_stretch
        height = rows * (bottom - top) * min(1.0, au.lips_part * 2)
        height = np.minimum(height, 0.17) + 0.035 * au.jaw_drop * _OVAL
        canvas.polygon(between(top, np.minimum(bottom, top + height)), _TEETH)
        if au.lip_tighten > 0.3:
            seam = middle + np.stack([half_width * _T, (top + bottom) / 2], axis=1)
            canvas.stroke(seam, 0.014, shade(_TEETH, 0.6))
    else:
        seam = middle + np.stack([half_width * _T * 1.06, (top + bottom) / 2], axis=1)
        canvas.stroke(seam, 0.032, shade(lips, 0.45))


def _lip_gap(au: ActionUnits, n: Nuisances) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inner edges of the upper and the lower lip, [21] each.

    They are heights relative to the middle of the mouth, positive is down.
    """
    corners = (
        -0.15 * au.lip_corner_pull
        + 0.13 * au.lip_corner_depress
        + 0.04 * au.lip_stretch
        + 0.02 * au.lip_tighten
    )
    arch = -0.06 * au.chin_raise - 0.07 * au.upper_lip_raise
    line = corners * _T**2 * (1 + n.asymmetry * _T) + arch * _DOME
    line = line + 0.04 * au.lip_corner_pull * _DOME
    wide = au.lips_part * (1.0 - _T**4)
    snarl = 0.05 * au.upper_lip_raise * au.lips_part * _DOME
    top = line - 0.045 * wide - 0.09 * au.jaw_drop * _OVAL - snarl
    bottom = line + 0.125 * wide + 0.23 * au.jaw_drop * _OVAL
    return top, bottom


def _draw_folds(
    canvas: Canvas,
    au: ActionUnits,
    middle: np.ndarray,
    half_width: float,
    corner: float,
    skin: Color,
) -> None:
    """Draws the folds from the nose to the mouth and the bunched chin."""
    depth = max(au.nose_wrinkle, au.upper_lip_raise, 0.8 * au.lip_corner_pull)
    for side in (-1, 1):
        if depth > 0.3:
            x = side * (half_width + 0.09)
            y = middle[1] + corner
            fold = curve((side * 0.17, 0.16), (x * 1.1, y - 0.22), (x, y + 0.02))
            width = 0.034 * depth * np.sin(np.linspace(0.3, np.pi - 0.2, 12))
            canvas.stroke(fold, width, shade(skin, 0.74))
    if au.chin_raise > 0.25:
        y = middle[1] + 0.2
        crease = curve((-0.12, y + 0.03), (0.0, y - 0.03), (0.12, y + 0.03))
        canvas.stroke(crease, 0.03 * au.chin_raise, shade(skin, 0.76))
