"""A network small enough to compile in seconds, and random input for it."""

import io
import pathlib

import flax.traverse_util
import jax
import numpy as np
from PIL import Image

from qcs_jax import models
from qcs_jax.checkpoint import Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base_config
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.classifier import Classifier

SIZES = dict(
    image_size=32,  # 2 x 2 tokens at each level
    subsample=1,
    widths=(4, 6, 8),
    units=(1, 1, 1),
    features=16,
    depth=1,
    heads=2,
)


def create(name: str, **options) -> QCS:
    return models.create(name, **{**SIZES, **options})


def shapes(model: QCS) -> dict:
    return jax.eval_shape(lambda: models.init(model, jax.random.key(0)))


def variables(model: QCS, seed: int = 0) -> dict:
    """Random variables: weights of the usual scale, nothing at its initial value."""
    return draw(shapes(model), seed)


def draw(shapes: dict, seed: int = 0) -> dict:
    """Random variables of these shapes."""
    rng = np.random.default_rng(seed)

    def one(path, x):
        noise = rng.standard_normal(x.shape).astype(np.float32)
        name = path[-1].key
        if name == "kernel":
            return noise / np.float32(np.sqrt(x.size / x.shape[-1]))
        if name == "var":
            return np.exp(0.3 * noise)
        return 0.3 * noise + np.float32(name in ("scale", "slope"))

    return jax.tree_util.tree_map_with_path(one, shapes)


def trained(seed: int = 0, *, resize: int = 36, **options) -> Trained:
    """The base branch of a network of three classes, as a checkpoint has it."""
    model = create("qcs", num_classes=3, **options)
    base = {name: {"base": x["base"]} for name, x in variables(model, seed).items()}
    config = base_config()
    config.data.resize = resize
    description = describe(config, ("anger", "fear", "joy"), model.image_size)
    network = Trained(base, description, 0, pathlib.Path("small"), in_file=True)
    vars(network)["model"] = model  # of a size that no configuration has
    return network


def classifier(seed: int = 0, **options) -> Classifier:
    """The base branch that `trained` makes."""
    return Classifier(trained(seed, **options))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def batch(model: QCS, size: int, devices: int = 1, seed: int = 0) -> dict:
    """The same global batch of `size` anchors, laid out for some devices."""
    n, s = model.branches, model.image_size
    image = pixels(n, size, s, s, 3, seed=seed)
    label = np.random.default_rng(seed).integers(0, model.num_classes, (n, size))

    def deal(x):
        return x.reshape(n, devices, size // devices, *x.shape[2:]).swapaxes(0, 1)

    return {"image": deal(image), "label": deal(label.astype(np.int32))}


def encode(image: Image.Image) -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def flat(variables: dict) -> dict:
    return flax.traverse_util.flatten_dict(variables, sep="/")


def assert_equal(actual: dict, expected: dict) -> None:
    actual, expected = flat(actual), flat(expected)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
