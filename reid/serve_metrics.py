"""What the service tells Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ServeMetrics:
    """Counters of one service, in a registry of their own.

    Args:
        waiting: Gives the crops in the queue when Prometheus asks.
        in_flight: Gives the requests that are being worked on.
    """

    def __init__(self, waiting: Callable[[], float], in_flight: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("reid_requests", "Requests by path and status", ("path", "status"), registry=registry)
        self._seconds = Histogram(
            "reid_request_seconds", "From the header to the answer", ("path",), buckets=_SECONDS, registry=registry
        )
        self._crops = Counter("reid_crops", "Crops and boxes that were answered", registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self._batch_crops = Histogram("reid_batch_crops", "Crops of a batch", buckets=sizes, registry=registry)
        self._batch_seconds = Histogram(
            "reid_batch_seconds", "Time in the network of a batch", buckets=_SECONDS, registry=registry
        )
        Gauge("reid_queue_crops", "Crops that wait", registry=registry).set_function(waiting)
        Gauge("reid_requests_in_flight", "Requests in work", registry=registry).set_function(in_flight)
        ProcessCollector(registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Counts an answer; paths must be few, for each has counters of its own."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def embedded(self, crops: int) -> None:
        """Counts what a request got embeddings of."""
        self._crops.inc(crops)

    def batch(self, crops: int, seconds: float) -> None:
        """Counts a batch."""
        self._batch_crops.observe(crops)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Returns everything in Prometheus' text format."""
        return generate_latest(self._registry)
