"""A service in this process, and what is sent to it."""

import io

import small
from PIL import Image

from qcs_jax.serve import app, batches
from qcs_jax.serve.desk import Desk
from qcs_jax.serve.metrics import Metrics


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def crop(seed, kind="PNG", side=50):
    """A face, encoded; to a detector it is none."""
    image = Image.fromarray(small.pixels(3, 3, 3, seed=seed))
    return encode(image.resize((side, side), Image.Resampling.BICUBIC), kind)


class Service:
    """An application and what is behind it."""

    def __init__(self, classifier, alike, monkeypatch, **options):
        with monkeypatch.context() as patch:  # they are compared once, not every time
            patch.setattr(batches, "_alike", lambda run, side: alike)
            self.metrics = Metrics()
            network = batches.Batches(
                batches.runner(classifier),
                classifier.resize,
                wait=options.pop("wait", 0.002),
                note=self.metrics.batch,
            )
        self.desk = Desk(
            classifier,
            network,
            workers=2,
            places=options.pop("places", 64),
            megapixels=options.pop("megapixels", 2.0),
        )
        self.metrics.watch_places(lambda: self.desk.inside)
        limits = app.Limits(options.pop("body", 1_000_000), options.pop("seconds", 60))
        about = app.describe(classifier, alike)
        self.app = app.create(self.desk, self.metrics, about, limits, **options)
