"""What the server counts, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """A registry of its own for every server, so that several live in one process (tests do that)."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        # The label `route` is one of the routes or "other", and `key` a name of the file: a stranger adds no series.
        self.requests = Counter("ram_requests", "Requests", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "ram_request_seconds",
            "From the head of a request to its answer",
            ["route"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.images = Counter("ram_images", "Images that were asked about", ["key"], registry=registry)
        self.broken = Counter("ram_images_refused", "Images that could not be read", registry=registry)
        self.batch_size = Histogram(
            "ram_batch_images", "Images that went through the model together", registry=registry, buckets=_IMAGES
        )
        self.batch_seconds = Histogram(
            "ram_batch_seconds", "The model's time for one batch", registry=registry, buckets=_SECONDS
        )
        self.waiting = Gauge("ram_images_waiting", "Images in the house, not yet answered", registry=registry)
        self.buffered = Gauge("ram_body_bytes", "Bytes of request bodies in memory", registry=registry)
        self.reloads = Counter("ram_reloads", "Models loaded after the first", ["model", "outcome"], registry=registry)
        self.model = Info("ram_model", "The model that answers", ["model"], registry=registry)

    def watch(self, waiting: Callable[[], float], buffered: Callable[[], float]) -> None:
        """Ask these whenever somebody reads the gauges."""
        self.waiting.set_function(waiting)
        self.buffered.set_function(buffered)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
