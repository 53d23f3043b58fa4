"""Answers many callers at once: decoding and detection in threads, then the network."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from qcs_jax.evaluate.counts import probabilities
from qcs_jax.images import decode
from qcs_jax.predict import network, output
from qcs_jax.predict.answers import Failure, Prediction
from qcs_jax.predict.classifier import Classifier
from qcs_jax.predict.cut import Cut
from qcs_jax.predict.detector import Detection, Detector
from qcs_jax.serve import asked
from qcs_jax.serve.asked import Refusal, Upload
from qcs_jax.serve.batches import Batches
from qcs_jax.system.errors import UserError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Told:
    """What is told of a photograph: its pixels are not kept while others are looked at.

    Attributes:
      said: `Photograph.to_dict`.
      faces: How many it has.
    """

    said: dict[str, Any]
    faces: int

    def to_dict(self) -> dict[str, Any]:
        return self.said


Answer = Told | Prediction | Failure


class PerThread:
    """A `Detector` that every thread has a copy of: one keeps state while it runs."""

    def __init__(self, detector: Detector):
        self._detector, self._own = detector, threading.local()

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self._mine()(image)

    def upright(self, image: Image.Image) -> list[Detection]:
        return self._mine().upright(image)

    def _mine(self) -> Detector:
        if not hasattr(self._own, "detector"):
            self._own.detector = copy.deepcopy(self._detector)
        return self._own.detector


class Desk:
    """Takes what callers send, so many at a time, and answers each.

    Attributes:
      inside: Requests that are being read or worked on; a place is free again when the
        work has ended, also where nobody waits for it any longer.
      places: How many there may be.
    """

    def __init__(
        self,
        classifier: Classifier,
        batches: Batches,
        *,
        workers: int,
        places: int,
        megapixels: float,
    ):
        """Starts nothing but threads, `workers` of them."""
        self.inside, self.places = 0, places
        self._classifier, self._batches = classifier, batches
        self._megapixels = megapixels
        self._pool = ThreadPoolExecutor(workers, "faces")
        self._leaving = set[asyncio.Future]()

    @contextlib.contextmanager
    def place(self) -> Iterator[list[Future]]:
        """Holds a place; gives the list that `parse` and `answer` note their work in.

        Refusal 503 if none is free.
        """
        if self.inside >= self.places:
            full = "too many ask at the same time: try again in a second"
            raise Refusal(503, full, {"Retry-After": "1"})
        self.inside += 1
        work: list[Future] = []
        try:
            yield work
        finally:
            for future in work:
                future.cancel()
            # A thread cannot be stopped: its caller's place is free when it ends.
            left = [asyncio.wrap_future(x) for x in work if not x.done()]
            if left:
                ended = asyncio.gather(*left, return_exceptions=True)
                self._leaving.add(ended)
                ended.add_done_callback(self._leave)
            else:
                self.inside -= 1

    def _leave(self, ended: asyncio.Future) -> None:
        self._leaving.discard(ended)
        self.inside -= 1

    async def parse(self, kind: str, body: bytes, work: list[Future]) -> list[Upload]:
        """The images of a body; see `asked.uploads`."""
        return await self._do(work, asked.uploads, kind, body)

    async def answer(
        self, uploads: Sequence[Upload], *, crops: bool, work: list[Future]
    ) -> list[Answer]:
        """Answers for each image, in their order; failures in the place of some.

        The crops of a request are computed together, and so are the faces of a
        photograph: as `qcs-jax predict` does it, whose bits depend on that.
        """
        if not crops:
            photos = (self._photograph(x, work) for x in uploads)
            return [*await asyncio.gather(*photos)]
        ready = [self._do(work, self._prepare, x, True) for x in uploads]
        decoded = await asyncio.gather(*ready)
        pixels = [x for x in decoded if isinstance(x, np.ndarray)]
        said = iter(await self._predict(pixels, work))
        return [
            x if isinstance(x, Failure) else dataclasses.replace(next(said), path=name)
            for x, (_, name) in zip(decoded, uploads, strict=True)
        ]

    async def _photograph(self, upload: Upload, work: list[Future]) -> Answer:
        cut = await self._do(work, self._prepare, upload, False)
        if isinstance(cut, Failure):
            return cut
        assert isinstance(cut, Cut)
        photograph = cut.photograph(await self._predict(cut.crops, work))
        return Told(photograph.to_dict(), len(photograph.faces))

    async def _predict(
        self, faces: list[np.ndarray], work: list[Future]
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        for start in range(0, len(faces), network.BATCH):
            future = self._batches.submit(
                np.stack(faces[start : start + network.BATCH])
            )
            work.append(future)
            names = self._classifier.class_names
            logits = await asyncio.wrap_future(future)
            predictions += [Prediction(probabilities(x), names) for x in logits]
        return predictions

    def _prepare(self, upload: Upload, crops: bool) -> Cut | np.ndarray | Failure:
        """Does all that comes before the network, as `Classifier` does it."""
        ready: Cut | np.ndarray | Failure
        try:
            asked.check(upload.data, self._megapixels)
            if crops:
                side = self._classifier.resize
                ready = decode.decode(upload.data, side, formats=asked.FORMATS)
            else:
                image = decode.read(io.BytesIO(upload.data), formats=asked.FORMATS)
                ready = self._classifier.cut_out(image)
        except (OSError, UserError) as error:
            ready = Failure(str(error))
        if isinstance(ready, np.ndarray):
            return ready
        return dataclasses.replace(ready, path=upload.name)

    async def _do(
        self, work: list[Future], function: Callable[..., T], *arguments: object
    ) -> T:
        future = self._pool.submit(function, *arguments)
        work.append(future)
        result = await asyncio.wrap_future(future)
        work.remove(future)  # with its result, which may be large
        return result

    def close(self) -> None:
        """Ends all threads when their work is done."""
        self._pool.shutdown()
        self._batches.close()


def as_json(answers: Sequence[Answer]) -> str:
    """What `qcs-jax predict --json` prints of the same images.

    Raises:
      Refusal: if none of them could be read.
    """
    failures = [x for x in answers if isinstance(x, Failure)]
    if len(failures) == len(answers):
        some = f"none of {len(answers)} images can be used; the first: "
        raise Refusal(422, (some if len(answers) > 1 else "") + failures[0].error)
    text = io.StringIO()
    with output.json_writer(text) as record:
        for answer in answers:
            record(answer)
    return text.getvalue()
