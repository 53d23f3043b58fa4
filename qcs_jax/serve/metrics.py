"""What Prometheus is told: numbers, and nothing of what was sent."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client as prometheus
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts since the start of the process."""

    kind = prometheus.CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        """Makes a registry of its own, so that a process may have several."""
        self._registry = registry = prometheus.CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, CPU time, open files; on Linux
        self._requests = prometheus.Counter(
            "qcs_requests", "Requests.", ("path", "status"), registry=registry
        )
        self._seconds = prometheus.Histogram(
            "qcs_request_seconds",
            "From the head of a request to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._images = prometheus.Counter(
            "qcs_images",
            "Images, by what became of them.",
            ("result",),
            registry=registry,
        )
        self._faces = prometheus.Counter(
            "qcs_faces", "Faces that were found in photographs.", registry=registry
        )
        self._batches = prometheus.Counter(
            "qcs_batches", "Calls of the network.", ("size",), registry=registry
        )
        self._batched = prometheus.Counter(
            "qcs_batched_faces", "Faces in calls of the network.", registry=registry
        )

    def watch_places(self, inside: Callable[[], float]) -> None:
        """Shows how many requests are inside."""
        gauge = prometheus.Gauge(
            "qcs_requests_inside",
            "Requests that are being read or worked on.",
            registry=self._registry,
        )
        gauge.set_function(inside)

    def asked(self, path: str, status: int, seconds: float) -> None:
        """Counts a request that has been answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def answered(self, images: int, failed: int, faces: int) -> None:
        """Counts what was in a request."""
        self._images.labels("answered").inc(images - failed)
        self._images.labels("refused").inc(failed)
        self._faces.inc(faces)

    def batch(self, faces: int, size: int) -> None:
        """Counts a call of the network, for so many faces, filled up to a size."""
        self._batches.labels(str(size)).inc()
        self._batched.inc(faces)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return prometheus.generate_latest(self._registry)
