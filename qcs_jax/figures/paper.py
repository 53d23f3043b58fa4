"""The figures by name, of a checkpoint and the labelled images it is shown with."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.counts import Counts
from qcs_jax.evaluate.runs import read_log
from qcs_jax.figures import Unavailable, charts, maps, style
from qcs_jax.images.augment import center_crop, preprocess
from qcs_jax.images.decode import decode, labelled_images
from qcs_jax.predict.classifier import Classifier
from qcs_jax.predict.interaction import Interaction
from qcs_jax.system import extras
from qcs_jax.system.errors import UserError

with extras.named():
    from sklearn.manifold import TSNE

if TYPE_CHECKING:
    from qcs_jax.input.sources import Source
    from qcs_jax.input.splits import Splits

_IN_EMBEDDING = 2000  # images; more take minutes and hide each other
_PAPER_CLASS = "surprise"  # of Figure 13


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Labelled images, decoded when they are read."""

    name: str  # for people
    labels: np.ndarray  # int32 [m]
    side: int  # of the square that images are resized to
    encoded: Callable[[Sequence[int]], list[bytes]]  # of some examples

    def pixels(self, examples: Sequence[int]) -> np.ndarray:
        """Returns some images, uint8 `[len(examples), side, side, 3]`."""
        return np.stack([decode(x, self.side) for x in self.encoded(examples)])


@dataclasses.dataclass(eq=False)
class Scene:
    """One trained network in front of its images; parts are made when first read."""

    path: str | pathlib.Path  # a run's workdir, its checkpoints, or one step
    folder: str = ""  # of images, by class; default the test split of the run
    data_dir: str = ""  # default that of the run, then `datasets.root`
    seed: int = 0  # of the choice of faces

    @functools.cached_property
    def trained(self) -> Trained:
        """The network; raises UserError if there is none, or it is damaged."""
        return Trained.load(self.path)

    @property
    def class_names(self) -> tuple[str, ...]:
        """k names, in the order of the labels."""
        return self.trained.class_names

    @functools.cached_property
    def interaction(self) -> Interaction:
        """The cross branch; raises Unavailable for a baseline."""
        if self.trained.model.branches == 1:
            raise Unavailable("a baseline has no cross branch and compares nothing")
        return Interaction(self.trained.model, self.trained.variables)

    @functools.cached_property
    def gallery(self) -> Gallery:
        """The images; raises UserError if there are none of these classes."""
        side = self.trained.resize
        if self.folder:
            return _folder_gallery(self.folder, self.class_names, side)
        source = self._checked(self._splits.test)
        name = f"split {source.split!r} of {source.name}"
        return Gallery(name, source.labels, side, source.encoded)

    @functools.cached_property
    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits `[m, k]` and features `[m, C]` of all images of the gallery."""
        images = (self.gallery.pixels([i])[0] for i in range(len(self.gallery.labels)))
        return Classifier(self.trained).classify(images)

    @property
    def confusion(self) -> np.ndarray:
        """int64 `[k, k]`, images of each class (row) by the base branch's answer."""
        return Counts.of(self.outputs[0], self.gallery.labels).confusion

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Labels by split: train (as prepared) and test, or those of the folder."""
        if self.folder:
            return {"images": self.gallery.labels}
        train = self._checked(self._splits.whole_train)
        return {"train": train.labels, "test": self.gallery.labels}

    @functools.cached_property
    def faces(self) -> tuple[np.ndarray, np.ndarray]:
        """Two images of each class, chosen at random by the seed.

        They are what the network sees, as uint8 pixels and normalised float32, both
        `[2, k, s, s, 3]`; raises Unavailable if a class has fewer.
        """
        gallery = self.gallery
        order = np.random.default_rng(self.seed).permutation(len(gallery.labels))
        chosen = []
        for label, name in enumerate(self.class_names):
            examples = order[gallery.labels[order] == label][:2]
            if len(examples) < 2:
                raise Unavailable(
                    f"class {name!r} has {len(examples) or 'no'} image in "
                    f"{gallery.name}: give --images=FOLDER with 2 of each class"
                )
            chosen.append(examples)
        pixels = gallery.pixels(np.stack(chosen, axis=1).reshape(-1).tolist())
        size = self.trained.model.image_size
        normalized = np.asarray(preprocess(jnp.asarray(pixels), size))
        shape = (2, len(self.class_names), size, size, 3)
        return center_crop(pixels, size).reshape(shape), normalized.reshape(shape)

    @functools.cached_property
    def _splits(self) -> Splits:
        from qcs_jax.input.splits import Splits  # tensorflow_datasets takes seconds

        if not self.trained.config.data.name:
            raise UserError("the checkpoint names no data set: give --images=FOLDER")
        return Splits(self.trained.config, data_dir=self.data_dir)

    def _checked(self, source: Source) -> Source:
        if tuple(source.class_names) != self.class_names:
            raise UserError(
                f"data set {source.name} has classes {', '.join(source.class_names)}, "
                f"but the checkpoint has {', '.join(self.class_names)}: give "
                f"--images=FOLDER"
            )
        return source


def _folder_gallery(folder: str, class_names: Sequence[str], side: int) -> Gallery:
    """Images in folders named after their class; prints which cannot be read."""
    root = pathlib.Path(folder).expanduser()
    paths, labels = labelled_images(root, class_names, every_class=True)
    readable = []
    for i, path in enumerate(paths):
        try:
            decode(path.read_bytes(), side)
            readable.append(i)
        except (OSError, ValueError) as error:
            print(f"left out {path}: {error}")
    labels = labels[readable]
    for label, name in enumerate(class_names):
        if label not in labels:
            raise UserError(f"{root / name} has no readable image: add some")

    def encoded(examples: Sequence[int]) -> list[bytes]:
        return [paths[readable[i]].read_bytes() for i in examples]

    return Gallery(str(root), labels, side, encoded)


def _heatmaps(scene: Scene) -> style.Figure:
    interaction = _with_similarities(scene)
    faces, images = scene.faces
    k = len(scene.class_names)
    keys = interaction.keys(images.reshape(-1, *images.shape[2:]))[-1]
    anchors, partners = np.tile(keys[:k], (k, 1, 1)), np.repeat(keys[k:], k, axis=0)
    importance = interaction.compare(anchors, partners).importance[0].reshape(k, k, -1)
    return maps.heatmaps(faces[0], faces[1], importance, scene.class_names)


def _attention(scene: Scene) -> style.Figure:
    """With negatives of the next class, where the network has negatives."""
    interaction = scene.interaction
    faces, groups = scene.faces
    if interaction.model.branches == 4:
        groups = np.concatenate([groups, np.roll(groups, -1, axis=1)])
    weights = interaction.attention(groups)
    return maps.attention(faces[0], [w[0] for w in weights], scene.class_names)


def _negatives(scene: Scene) -> style.Figure:
    """At the highest level."""
    interaction = _with_similarities(scene)
    if interaction.model.branches != 4:
        raise Unavailable("a dcs compares images of one class, and has no negatives")
    faces, images = scene.faces
    names = [name.lower() for name in scene.class_names]
    shown = names.index(_PAPER_CLASS) if _PAPER_CLASS in names else 0
    others = np.delete(np.arange(len(names)), shown)
    pair = np.repeat(images[:, shown : shown + 1], len(others), axis=1)
    weights = interaction.attention(np.concatenate([pair, images[:, others]]))
    return maps.negatives(
        faces[:, shown],
        faces[0, others],
        weights[-1][:2],
        scene.class_names[shown],
        [scene.class_names[i] for i in others],
    )


def _matrices(scene: Scene) -> style.Figure:
    """An anchor with itself, with its class, with the next class."""
    interaction = scene.interaction
    faces, images = scene.faces
    keys = interaction.keys(np.concatenate([images[:, 0], images[:1, 1]]))[-1]
    same, different = scene.class_names[:2]
    return maps.matrices(
        faces[0, 0],
        np.concatenate([faces[:, 0], faces[:1, 1]]),
        interaction.compare(keys[[0, 0, 0]], keys),
        ["itself", "same class", "different class"],
        [same, same, same, different],
    )


def _embedding(scene: Scene) -> style.Figure:
    """Of 4 images or more, which t-SNE projects to the plane."""
    labels, features = scene.gallery.labels, scene.outputs[1]
    order = np.random.default_rng(scene.seed).permutation(len(labels))
    shown = np.sort(order[:_IN_EMBEDDING])
    if (m := len(shown)) < 4:
        raise Unavailable(f"an embedding of {m} images shows nothing: give 4 or more")
    tsne = TSNE(init="pca", perplexity=min(30, (m - 1) / 3), random_state=scene.seed)
    points = tsne.fit_transform(features[shown].astype(np.float64))
    return charts.embedding(points, labels[shown], scene.class_names)


def _with_similarities(scene: Scene) -> Interaction:
    if scene.interaction.model.interaction == "sdpa":
        raise Unavailable("the network compares by scaled dot products alone")
    return scene.interaction


DRAW: dict[str, Callable[[Scene], style.Figure]] = {
    "heatmaps": _heatmaps,
    "attention": _attention,
    "negatives": _negatives,
    "matrices": _matrices,
    "losses": lambda scene: charts.losses(read_log(scene.trained.workdir)),
    "confusion": lambda scene: charts.confusion(scene.confusion, scene.class_names),
    "distribution": lambda scene: charts.distribution(scene.splits, scene.class_names),
    "embedding": _embedding,
}
