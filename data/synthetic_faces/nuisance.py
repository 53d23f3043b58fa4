"""Everything about a face that is not its expression."""

import dataclasses

import numpy as np

Color = tuple[int, int, int]

SKINS: dict[str, Color] = {
    "porcelain": (250, 222, 200),
    "sand": (240, 198, 164),
    "honey": (222, 170, 125),
    "bronze": (186, 128, 88),
    "umber": (140, 90, 62),
    "ebony": (100, 66, 50),
}
# Seven of each: the biased config pairs one with each class.
HAIR_COLORS: dict[str, Color] = {
    "brown": (104, 66, 40),
    "blonde": (226, 186, 104),
    "ginger": (196, 96, 42),
    "silver": (196, 196, 204),
    "black": (44, 38, 42),
    "olive": (104, 112, 58),
    "violet": (122, 78, 142),
}
BACKGROUNDS: dict[str, Color] = {
    "grey": (168, 172, 178),
    "yellow": (238, 208, 110),
    "orange": (236, 150, 96),
    "blue": (98, 150, 214),
    "red": (208, 88, 92),
    "green": (118, 180, 112),
    "purple": (152, 116, 194),
}
IRISES: tuple[Color, ...] = ((94, 60, 36), (74, 110, 150), (86, 120, 76))
SHIRTS: tuple[Color, ...] = (
    (62, 84, 120),
    (236, 236, 232),
    (150, 62, 72),
    (70, 116, 92),
    (52, 52, 60),
    (214, 168, 84),
)
HAIR_STYLES = ("bald", "short", "fringe", "long", "curly", "bun")
FACIAL_HAIR = ("none", "stubble", "moustache", "beard")
GLASSES = ("none", "round", "square")
OCCLUSIONS = ("none", "sticker", "bar")

_FACIAL_HAIR_ODDS = (0.7, 0.1, 0.1, 0.1)
_GLASSES_ODDS = (0.7, 0.15, 0.15)
_OCCLUSION_ODDS = (0.9, 0.05, 0.05)


@dataclasses.dataclass(frozen=True)
class Nuisances:
    """One face's identity, pose and picture conditions.

    Categories are indices into the tables above. Lengths of the identity are factors
    around 1. Angles are degrees; shifts are fractions of the image side.
    """

    # Identity.
    skin: int = 1
    hair_color: int = 0
    hair_style: int = 1
    facial_hair: int = 0
    glasses: int = 0
    iris: int = 0
    shirt: int = 0
    face_width: float = 1.0
    jaw_width: float = 1.0
    eye_gap: float = 1.0
    eye_size: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    brow_thickness: float = 1.0
    brow_height: float = 0.0  # face units, positive is lower
    mouth_height: float = 0.0  # face units, positive is lower
    asymmetry: float = 0.0  # right-left difference in strength of movements
    # Pose.
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    scale: float = 1.35  # the face then fills most of the image
    shift_x: float = 0.0
    shift_y: float = 0.0
    gaze_x: float = 0.0  # iris radii
    # Picture.
    background: int = 0
    light_angle: float = 0.0
    light_strength: float = 0.0
    exposure: float = 1.0
    blur: float = 0.0  # pixels, standard deviation
    noise: float = 0.0  # grey levels, standard deviation
    occlusion: int = 0
    occlusion_x: float = 0.0  # face units
    occlusion_y: float = 0.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)  # varies skin, hair, background


def sample(rng: np.random.Generator) -> Nuisances:
    """Draws nuisances, all independent of each other and of the label."""

    def about(center: float, spread: float) -> float:
        return float(rng.uniform(center - spread, center + spread))

    def pick(options, odds=None) -> int:
        return int(rng.choice(len(options), p=odds))

    return Nuisances(
        skin=pick(SKINS),
        hair_color=pick(HAIR_COLORS),
        hair_style=pick(HAIR_STYLES),
        facial_hair=pick(FACIAL_HAIR, _FACIAL_HAIR_ODDS),
        glasses=pick(GLASSES, _GLASSES_ODDS),
        shirt=pick(SHIRTS),
        face_width=about(1.0, 0.1),
        jaw_width=about(1.0, 0.12),
        eye_gap=about(1.0, 0.1),
        eye_size=about(1.0, 0.12),
        nose_length=about(1.0, 0.2),
        nose_width=about(1.0, 0.2),
        mouth_width=about(1.0, 0.12),
        lip_fullness=about(1.0, 0.3),
        brow_thickness=about(1.0, 0.3),
        brow_height=about(0.0, 0.03),
        mouth_height=about(0.0, 0.04),
        asymmetry=about(0.0, 0.15),
        roll=about(0.0, 12.0),
        yaw=about(0.0, 16.0),
        pitch=about(0.0, 6.0),
        scale=about(1.35, 0.1),
        shift_x=about(0.0, 0.06),
        shift_y=about(0.0, 0.06),
        gaze_x=about(0.0, 0.4),
        background=pick(BACKGROUNDS),
        light_angle=about(0.0, 180.0),
        light_strength=float(rng.uniform(0.0, 0.4)),
        exposure=about(1.0, 0.2),
        blur=float(rng.uniform(0.0, 0.5)),
        noise=float(rng.uniform(0.0, 6.0)),
        occlusion=pick(OCCLUSIONS, _OCCLUSION_ODDS),
        occlusion_x=about(0.0, 0.7),
        occlusion_y=about(0.1, 0.7),
        tint=(about(0.0, 1.0), about(0.0, 1.0), about(0.0, 1.0)),
        iris=pick(IRISES),
    )


def follow_label(
    nuisances: Nuisances, rng: np.random.Generator, label: int, rho: float
) -> Nuisances:
    """Makes background and hair colour go with the label.

    With probability `rho` both take the value paired with the label (their index is the
    label), otherwise both take that of another class, uniformly.
    """
    other = (label + 1 + int(rng.integers(len(BACKGROUNDS) - 1))) % len(BACKGROUNDS)
    cue = label if rng.random() < rho else other
    return dataclasses.replace(nuisances, background=cue, hair_color=cue)
