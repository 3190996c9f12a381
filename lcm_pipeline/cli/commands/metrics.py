"""`lcm metrics`: the state of the warehouse as OpenMetrics."""

import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from lcm_pipeline.cli.failures import print_message
from lcm_pipeline.cli.options import HostOption, writable_file
from lcm_pipeline.files import replacing
from lcm_pipeline.model.errors import UsageError, UserError
from lcm_pipeline.ports import url_host
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.diagnosis import explaining_failures
from lcm_pipeline.warehouse.programme import require_time_zone
from lcm_pipeline.warehouse.status import FeedOverview, WarehouseStatus, read_status

_UP = "Whether the warehouse could be read."


class WarehouseCollector(Collector):
    """Reads the warehouse at each scrape; raises UserError if that fails.

    Labels contain only names of feeds, no client ids and no error texts.
    """

    def __init__(self, settings: Settings, warehouse: Warehouse) -> None:
        self._settings = settings
        self._warehouse = warehouse

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        status = read_status(self._warehouse, compares_marts=True)
        with explaining_failures(self._warehouse):
            require_time_zone(self._warehouse, self._settings)
        yield GaugeMetricFamily("lcm_up", _UP, value=1)
        yesterday = self._settings.yesterday()
        is_complete = status.is_complete(yesterday, self._settings.max_staleness_days)
        yield GaugeMetricFamily(
            "lcm_complete", "Whether every feed is complete through yesterday.", value=is_complete
        )
        if status.marts_behind is not None:
            yield GaugeMetricFamily(
                "lcm_marts_behind",
                "Marts that are older than the facts.",
                value=len(status.marts_behind),
            )
        yield from _feed_metrics(status, yesterday)
        failed = GaugeMetricFamily(
            "lcm_last_run_failed", "Whether the newest run failed or was stopped.", labels=["feed"]
        )
        started = GaugeMetricFamily(
            "lcm_last_run_started_timestamp_seconds", "When the newest run began.", labels=["feed"]
        )
        for run in status.last_runs:
            failed.add_metric([run.feed], run.has_failed)
            started.add_metric([run.feed], run.started_at.timestamp())
        yield failed
        yield started


class ServedCollector(WarehouseCollector):
    """As WarehouseCollector, but if reading fails, lcm_up is 0 and nothing else is exported."""

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        try:
            yield from super().collect()
        except UserError:
            yield GaugeMetricFamily("lcm_up", _UP, value=0)


def metrics(
    output: Annotated[
        Path | None,
        typer.Option(
            parser=writable_file,
            metavar="FILE",
            help="File to replace, for the textfile collector of node_exporter.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve on this port until stopped.")
    ] = None,
    host: HostOption = "127.0.0.1",
) -> None:
    """Print the state of the warehouse as OpenMetrics, write it to a file, or serve it.

    The metrics are those of lcm status: days behind, rows, pending, quarantine and the last run of
    each feed, without client ids and error texts. A login that may only read is enough. If the
    warehouse cannot be read, the exit code is 2, and FILE contains lcm_up 0 and nothing else.
    A port goes on serving that.

    Examples: [bold]lcm metrics --output /var/lib/node_exporter/lcm.prom[/bold],
    [bold]lcm metrics --port 9108[/bold]
    """
    if output is not None and port is not None:
        raise typer.BadParameter("give either --output or --port")
    settings = load_settings()
    file = None if str(output) == "-" else output
    try:
        with open_warehouse(settings, is_read_only=True) as warehouse:
            registry = CollectorRegistry()
            collector = WarehouseCollector if port is None else ServedCollector
            registry.register(collector(settings, warehouse))
            if port is not None:
                _serve(registry, host, port)
            elif file is None:
                sys.stdout.write(_exposed(registry).decode())
            else:
                _replace(file, registry)
                # Not in a log or to cron, which would mail it every few minutes.
                if sys.stderr.isatty():
                    print_message(f"wrote the metrics to {file}")
    except UserError:
        if file is not None:
            # The file of the last run says that all is well, and cron ignores our exit code.
            down = CollectorRegistry()
            # A gauge begins with 0.
            Gauge("lcm_up", _UP, registry=down)
            _replace(file, down)
            print_message(f"wrote lcm_up 0 to {file}")
        raise


def _replace(path: Path, registry: CollectorRegistry) -> None:
    """Replace the file, which node_exporter may read at any moment."""
    with replacing(path) as file:
        file.write(_exposed(registry))


def _exposed(registry: CollectorRegistry) -> bytes:
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text


def _serve(registry: CollectorRegistry, host: str, port: int) -> None:
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port} of {host} ({error.strerror}): choose another --port"
        ) from error
    print(f"http://{url_host(host)}:{port}/metrics  (stop with Ctrl-C)", flush=True)
    is_stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: is_stopped.set())
    is_stopped.wait()
    server.shutdown()
    thread.join()


def _feed_metrics(status: WarehouseStatus, yesterday: date) -> Iterator[Metric]:
    def behind(feed: FeedOverview) -> float | None:
        return feed.days_behind(yesterday)

    def complete_through(feed: FeedOverview) -> float | None:
        if feed.complete_through is None:
            return None
        return datetime.combine(feed.complete_through, time(), UTC).timestamp()

    def published(feed: FeedOverview) -> float | None:
        return feed.published_at.timestamp() if feed.published_at else None

    described = (
        ("lcm_feed_behind_days", "Days through yesterday that are not complete.", behind),
        (
            "lcm_feed_complete_through_timestamp_seconds",
            "Last complete day, as its midnight in UTC.",
            complete_through,
        ),
        ("lcm_feed_published_timestamp_seconds", "When it was published last.", published),
        ("lcm_feed_rows", "Rows of the main table.", lambda feed: feed.rows),
        ("lcm_feed_pending", "Clients or days without a proven reading.", lambda f: f.pending),
        ("lcm_feed_deferred", "Clients that are not due yet.", lambda feed: feed.deferred),
        ("lcm_feed_quarantined_rows", "Rows in open quarantine.", lambda feed: feed.quarantined),
    )
    for name, text, value_of in described:
        metric = GaugeMetricFamily(name, text, labels=["feed"])
        for feed in status.feeds:
            value = value_of(feed)
            if value is not None:
                metric.add_metric([feed.feed], value)
        yield metric
