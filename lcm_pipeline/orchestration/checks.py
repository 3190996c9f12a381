"""Asset checks: four questions to the warehouse after each run of every feed, one to the outbox.

The questions themselves live in `sync.reconcile`. Totals that do not agree stop what is built on
the facts, but never the facts of everyone else: on the roster that check does not block.
"""

import dagster as dg

from lcm_pipeline.orchestration.metadata import OUTBOX, STUCK_CHECK, updates_stuck
from lcm_pipeline.orchestration.partitions import window_of
from lcm_pipeline.orchestration.resources import SyncSession
from lcm_pipeline.sync import reconcile
from lcm_pipeline.warehouse.outbox_states import read_outbox

_ASSET_OF = {
    "registrations": "clients",
    "operations": "operations",
    "leads": "leads",
    "favourites": "favourite_offers",
}


def _totals_agree(feed: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=_ASSET_OF[feed], blocking=feed != "registrations")
    def totals_agree(sync: dg.ResourceParam[SyncSession]) -> dg.AssetCheckResult:
        """Rows of the source = live rows + rows in quarantine, client by client."""
        count, listed = reconcile.totals_differing(sync.warehouse, feed)
        rows = [f"{d.subject}: {d.source_total} in the source, {d.warehouse_rows} in the warehouse"
                f" and {d.quarantined_rows} in quarantine" for d in listed]  # fmt: skip
        return dg.AssetCheckResult(
            passed=count == 0,
            description=f"{feed}: totals differ for {count}" if count else None,
            metadata={"differing": count, "the first": dg.MetadataValue.md("\n".join(rows))},
        )

    return totals_agree


def _keys_are_unique(feed: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=_ASSET_OF[feed])
    def keys_are_unique(sync: dg.ResourceParam[SyncSession]) -> dg.AssetCheckResult:
        """No row is live twice, on two days."""
        count = reconcile.duplicate_keys(sync.warehouse, feed)
        return dg.AssetCheckResult(
            passed=count == 0,
            description=f"{feed}: {count} keys are live more than once" if count else None,
            metadata={"doubled": count},
        )

    return keys_are_unique


def _no_orphans(feed: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=_ASSET_OF[feed])
    def no_orphans(sync: dg.ResourceParam[SyncSession]) -> dg.AssetCheckResult:
        """The roster knows the client of every row."""
        count = reconcile.orphans(sync.warehouse, feed)
        return dg.AssetCheckResult(
            passed=count == 0,
            description=f"{feed}: {count} rows of unknown clients" if count else None,
            metadata={"orphans": count},
        )

    return no_orphans


def _share_complete(feed: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=_ASSET_OF[feed])
    def share_complete(
        context: dg.AssetCheckExecutionContext, sync: dg.ResourceParam[SyncSession]
    ) -> dg.AssetCheckResult:
        """Every client registered by the end of the last day was read, and the reading proven.

        Clients that are not due yet (LCM_MAX_STALENESS_DAYS) are named, and are no fault.
        """
        window = window_of(context)
        clients, pending, deferred = reconcile.completeness(sync.warehouse, feed, window)
        return dg.AssetCheckResult(
            passed=pending == 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=completeness_sentence(feed, str(window.last), clients, pending, deferred),
            metadata={"clients": clients, "pending": pending, "deferred": deferred},
        )

    return share_complete


def completeness_sentence(feed: str, day: str, total: int, pending: int, deferred: int = 0) -> str:
    """How complete a day is, never rounded up to a whole that it is not."""
    thing = "day" if feed == "registrations" else "client"
    waiting = pending + deferred
    if not waiting:
        return f"{day} is complete, {_counted(total, thing)} read"
    share = int(10_000 * (total - waiting) / total) / 100 if total else 0.0
    reasons = {"pending": pending, "deferred": deferred}
    told = ", ".join(f"{_counted(n, thing)} {reason}" for reason, n in reasons.items() if n)
    return f"{day} is {share:.2f} % complete, {told}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@dg.asset_check(asset=OUTBOX, name=STUCK_CHECK)
def no_update_is_stuck(sync: dg.ResourceParam[SyncSession]) -> dg.AssetCheckResult:
    """No update waits in `sending` while nobody pushes."""
    state = read_outbox(sync.warehouse)
    if state is None:
        return dg.AssetCheckResult(passed=True, description="the outbox is not migrated yet")
    answer = updates_stuck(state)
    return dg.AssetCheckResult(
        passed=answer.passed,
        severity=answer.severity,
        description=answer.description,
        metadata=answer.metadata,
    )


CHECKS = [
    *(_totals_agree(feed) for feed in _ASSET_OF),
    *(_keys_are_unique(feed) for feed in _ASSET_OF),
    *(_no_orphans(feed) for feed in _ASSET_OF if feed != "registrations"),
    *(_share_complete(feed) for feed in _ASSET_OF),
    no_update_is_stuck,
]
