"""The counters of one server, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts of requests by status, seconds by part, requests that wait, starts of the worker.

    Args:
        waiting: what tells how many requests wait.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("act_requests", "requests of /act", ["status"], registry=self.registry)
        self.seconds = Histogram(
            "act_seconds", "seconds of a request, in the queue and in the policy", ["part"], buckets=BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.starts = Counter("act_worker_starts", "starts of the worker's process", registry=self.registry)
        Gauge("act_waiting", "requests in the queue", registry=self.registry).set_function(waiting)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
