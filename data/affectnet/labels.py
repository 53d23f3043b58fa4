"""What the numbers of AffectNet stand for."""

from qcs_jax.system.datasets import DATASETS

CLASS_NAMES = DATASETS["affectnet/8"].class_names
# Images with these are no examples of an expression; most have no usable face box.
NO_EXPRESSION = {8: "none", 9: "uncertain", 10: "no face"}


def parse(text: str) -> int:
    """Reads a label, of `CLASS_NAMES` or `NO_EXPRESSION`, possibly written as "3.0"."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number not in range(len(CLASS_NAMES) + len(NO_EXPRESSION)):
        raise ValueError(f"label {text[:20]!r} is not in 0..10")
    return int(number)
