"""What a sync of one feed, or one of its readers, did: for metadata, the CLI, exit codes."""

from dataclasses import dataclass

from lcm_pipeline.model.windows import Window


@dataclass(frozen=True)
class SyncReport:
    """One feed over one window.

    clients: clients to read (days, for registrations); pending: those of them not proven.
    deferred: clients that were not due, and not read.
    rows_read: records staged; rows_written: rows of core that are new or changed.
    quarantined: rows of the feed that are in quarantine now. seconds: wall time of this process.
    requests, retries: over all processes that worked on the run.
    """

    feed: str
    window: Window
    clients: int
    pending: int
    rows_read: int
    rows_written: int
    rows_deleted: int
    quarantined: int
    requests: int
    retries: int
    seconds: float
    is_resumed: bool
    deferred: int = 0
    unknown_fields: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is pending or quarantined; deferred clients do not count."""
        return self.pending == 0 and self.quarantined == 0

    @property
    def share_complete(self) -> float:
        """The share of clients that is proven; 1.0 when there are none."""
        return 1.0 - self.pending / self.clients if self.clients else 1.0


@dataclass(frozen=True)
class ReaderReport:
    """What one process has read of a run.

    tasks: clients, or days. rows: records staged. waited_seconds: spent waiting for tasks of other
    readers.
    """

    feed: str
    window: Window
    requests: int = 0
    rows: int = 0
    tasks: int = 0
    waited_seconds: float = 0.0
