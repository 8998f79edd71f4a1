"""Figures of a server for Prometheus; one registry a server: several can live in a process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = {"registry": self.registry, "namespace": "hanmo"}
        self.requests = Counter(
            "requests", "Requests by route and status.", ["route", "status"], **made
        )
        self.seconds = Histogram(
            "request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, **made
        )
        self.active = Gauge("active_requests", "Requests that are being answered.", **made)
        self.refused = Counter("refused", "Requests refused, by code.", ["code"], **made)
        self.inputs = Counter(
            "inputs", "Inputs answered, by model and kind.", ["model", "kind"], **made
        )
        self.waiting = Gauge("waiting_pieces", "Pieces that wait for the model.", **made)
        self.batches = Histogram(
            "batch_inputs", "Inputs of a batch, by model.", ["model"], buckets=_SIZES, **made
        )
        self.model_seconds = Histogram(
            "batch_seconds", "Time of a batch in the model.", ["model"], buckets=_SECONDS, **made
        )
        self.model_pieces = Counter("pieces", "Pieces run, by model.", ["model"], **made)

    def text(self) -> bytes:
        """Return the figures as Prometheus reads them."""
        return generate_latest(self.registry)
