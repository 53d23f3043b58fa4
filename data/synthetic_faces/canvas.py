"""A drawing board in face units.

Face units: the origin is between the eyes and the mouth, x points right, y points down,
the crown is near y = -1 and the chin near y = 1.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from .nuisance import Color

SUPERSAMPLING = 3
_UNIT = 0.37  # half the face height, as a fraction of the image side
_DEPTH = 0.55  # how far the middle of the face bulges towards the camera


class Canvas:
    """Draws smooth shapes, given in face units, on a turned and tilted head."""

    def __init__(
        self,
        size: int,
        color: Color,
        *,
        roll: float,
        yaw: float,
        pitch: float,
        scale: float,
        shift: tuple[float, float],
    ):
        """Starts with an empty picture of `size` pixels.

        Angles are degrees: positive is clockwise, towards the right of the picture, and
        down. The shift (x, y) is in parts of the image side.
        """
        self._size = size * SUPERSAMPLING
        self._image = Image.new("RGB", (self._size, self._size), color)
        self._draw = ImageDraw.Draw(self._image)
        self._yaw, self._pitch = math.radians(yaw), math.radians(pitch)
        self.unit = _UNIT * scale * self._size  # one face unit in canvas pixels
        angle = math.radians(roll)
        self._turn = self.unit * np.array(
            [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        )
        self._center = self._size * (0.5 + np.array(shift))

    def project(self, points: np.ndarray, flat: bool = False) -> np.ndarray:
        """Maps face units [n, 2] to canvas pixels.

        The face is half an ellipsoid: turning it slides its middle, where eyes, nose
        and mouth are, against its outline. What is not on the face is `flat`.
        """
        points = np.asarray(points, dtype=np.float64)
        if not flat:
            radius = (points[:, 0] / 0.85) ** 2 + points[:, 1] ** 2
            z = _DEPTH * np.sqrt(np.maximum(1.0 - radius, 0.0))
            x = points[:, 0] * math.cos(self._yaw) + z * math.sin(self._yaw)
            y = points[:, 1] * math.cos(self._pitch) + z * math.sin(self._pitch)
            points = np.stack([x, y], axis=1)
        return points @ self._turn + self._center

    def polygon(self, points: np.ndarray, color: Color, flat: bool = False) -> None:
        """Fills a closed outline; points [n, 2] in face units."""
        pixels = self.project(points, flat)
        self._draw.polygon(pixels.ravel().tolist(), fill=color)

    def ellipse(
        self,
        center: tuple[float, float],
        radii: tuple[float, float],
        color: Color,
        flat: bool = False,
    ) -> None:
        """Fills an ellipse given in face units."""
        self.polygon(np.array(center) + np.array(radii) * CIRCLE, color, flat)

    def stroke(
        self,
        points: np.ndarray,
        width: float | np.ndarray,
        color: Color,
        flat: bool = False,
    ) -> None:
        """Draws a line [n, 2] that may vary in width [n], all in face units."""
        points = np.asarray(points, dtype=np.float64)
        along = np.gradient(points, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        offset = normal * np.broadcast_to(width, len(points))[:, None] / 2
        self.polygon(
            np.concatenate([points + offset, (points - offset)[::-1]]), color, flat
        )

    def gradient(self, amplitude: float) -> None:
        """Darkens the empty background towards the bottom, by a fraction."""
        ramp = 1.0 - amplitude * np.linspace(0.0, 1.0, self._size)
        pixels = np.asarray(self._image, dtype=np.float64) * ramp[:, None, None]
        self._image = Image.fromarray(pixels.astype(np.uint8))
        self._draw = ImageDraw.Draw(self._image)

    def finish(self) -> Image.Image:
        """Returns the anti-aliased picture, [size, size] RGB."""
        return self._image.reduce(SUPERSAMPLING)


_ANGLES = np.linspace(0.0, 2.0 * np.pi, 32, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def curve(*knots: tuple[float, float], n: int = 12) -> np.ndarray:
    """Samples a Bezier curve with 2 to 4 control points; returns [n, 2]."""
    t = np.linspace(0.0, 1.0, n)[:, None]
    points = [np.asarray(knot, dtype=np.float64)[None] for knot in knots]
    while len(points) > 1:  # de Casteljau
        points = [(1 - t) * a + t * b for a, b in zip(points, points[1:], strict=False)]
    return points[0]


def mix(a: Color, b: Color, share: float) -> Color:
    """Blends two colours: 0 gives `a`, 1 gives `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """Darkens (factor < 1) or brightens a colour."""
    red, green, blue = (min(255, max(0, round(c * factor))) for c in color)
    return red, green, blue
