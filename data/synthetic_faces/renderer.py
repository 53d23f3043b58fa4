"""From (seed, split, index) to a picture of a face and everything known about it."""

import dataclasses
import io
import math

import numpy as np
from PIL import Image, ImageFilter

from . import expression, face, head, nuisance
from .canvas import Canvas, mix, shade
from .expression import ActionUnits
from .nuisance import Nuisances

IMAGE_SIZE = 80  # pixels; training resizes them to what its recipe says
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One drawn face."""

    image: Image.Image  # [IMAGE_SIZE, IMAGE_SIZE] RGB
    label: int
    intensity: float  # of the expression, 0 for neutral
    nuisances: Nuisances

    def png(self) -> io.BytesIO:
        """Returns the encoded image, ready to be read."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        buffer.seek(0)
        return buffer


def draw_sample(
    seed: int, split: str, index: int, *, rho: float | None = None
) -> Sample:
    """Draws face number `index` of a split.

    A pure function of its arguments: nothing depends on which faces were drawn before.
    The classes take turns, so any run of consecutive indices is balanced. `rho` is how
    often background and hair colour are those of the class, in "train" only; None: they
    say nothing about it. All else is the same face whatever this is.
    """
    label = index % len(expression.CLASS_NAMES)
    # One stream per concern, so that none shifts when another draws more.
    streams = [
        np.random.default_rng([seed, SPLITS.index(split), index, concern])
        for concern in range(4)
    ]
    au, intensity = expression.sample(streams[0], label)
    nuisances = nuisance.sample(streams[1])
    if rho is not None and split == "train":
        nuisances = nuisance.follow_label(nuisances, streams[2], label, rho)
    return Sample(render(au, nuisances, streams[3]), label, intensity, nuisances)


def render(au: ActionUnits, n: Nuisances, rng: np.random.Generator) -> Image.Image:
    """Draws a face, [IMAGE_SIZE, IMAGE_SIZE] RGB; `rng` is for pixel noise only."""
    skin = shade(list(nuisance.SKINS.values())[n.skin], 1.0 + 0.06 * n.tint[0])
    hair = shade(list(nuisance.HAIR_COLORS.values())[n.hair_color], 1 + 0.1 * n.tint[1])
    wall = shade(list(nuisance.BACKGROUNDS.values())[n.background], 1 + 0.1 * n.tint[2])
    canvas = Canvas(
        IMAGE_SIZE,
        wall,
        roll=n.roll,
        yaw=n.yaw,
        pitch=n.pitch,
        scale=n.scale,
        shift=(n.shift_x, n.shift_y),
    )
    canvas.gradient(0.25)
    head.draw_behind(canvas, n, skin, hair)
    head.draw_head(canvas, au, n, skin)
    head.draw_hair(canvas, au, n, hair)
    head.draw_facial_hair(canvas, au, n, skin, hair)
    face.draw_nose(canvas, au, n, skin)
    face.draw_mouth(canvas, au, n, skin)
    face.draw_eyes(canvas, au, n, skin, nuisance.IRISES[n.iris])
    # Brows are darker than hair and skin, so that they show on every face.
    face.draw_brows(canvas, au, n, mix(shade(hair, 0.55), shade(skin, 0.3), 0.4))
    head.draw_glasses(canvas, n)
    head.draw_occlusion(canvas, n)
    return _photograph(canvas.finish(), n, rng)


def _photograph(
    image: Image.Image, n: Nuisances, rng: np.random.Generator
) -> Image.Image:
    """Applies light from one side, exposure, blur and noise."""
    image = image.filter(ImageFilter.GaussianBlur(n.blur))
    angle = math.radians(n.light_angle)
    axis = np.linspace(-1.0, 1.0, IMAGE_SIZE, dtype=np.float32)
    across = math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]
    light = n.exposure * (1.0 + n.light_strength * np.tanh(1.5 * across))
    # As a gamma, light never burns out a face the way a plain factor would.
    pixels = np.asarray(image, dtype=np.float32) / 255.0
    pixels = 255.0 * pixels ** (1.0 / light[:, :, None])
    noise = rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.float32)
    pixels += n.noise * noise
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
