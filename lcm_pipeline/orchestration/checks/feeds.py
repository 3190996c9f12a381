"""Asset checks of the feeds after a run.

The queries are in `verify.reconcile`. Totals that do not agree block what is built on the feed, in
the run of the check and in a run of marts alone. On the roster that check does not block, as the
facts of the other clients do not depend on it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import dagster as dg

from lcm_pipeline.feeds import FEEDS, Feed, feed_named
from lcm_pipeline.model.texts import counted
from lcm_pipeline.model.windows import Window
from lcm_pipeline.orchestration.partitions import window_of
from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.verify import reconcile
from lcm_pipeline.warehouse.connection import Session


@dataclass(frozen=True)
class _FeedCheck:
    """One check of a feed. is_blocking: a failure blocks what is built on the feed."""

    name: str
    description: str
    evaluate: Callable[[Session, Feed, Window], dg.AssetCheckResult]
    is_blocking: bool = False


def _totals_agree(session: Session, feed: Feed, _window: Window) -> dg.AssetCheckResult:
    count, listed = reconcile.totals_differing(session, feed)
    rows = [f"{d.subject}: {d.source_total} in the source, {d.warehouse_rows} in the warehouse"
            f" and {d.quarantined_rows} in quarantine" for d in listed]  # fmt: skip
    return dg.AssetCheckResult(
        passed=count == 0,
        description=f"{feed.name}: totals differ for {count}" if count else None,
        metadata={"differing": count, "the first": dg.MetadataValue.md("\n".join(rows))},
    )


def _keys_are_unique(session: Session, feed: Feed, _window: Window) -> dg.AssetCheckResult:
    count = reconcile.duplicate_keys(session, feed)
    return _expect_none(
        "doubled", count, f"{feed.name}: {counted(count, 'key is', 'keys are')} live more than once"
    )


def _one_client_has_each_row(session: Session, feed: Feed, _window: Window) -> dg.AssetCheckResult:
    count = reconcile.shared_keys(session, feed)
    problem = f"{feed.name}: {counted(count, 'row is', 'rows are')} live under two clients"
    result = _expect_none("shared", count, problem)
    return result._replace(severity=dg.AssetCheckSeverity.WARN)


def _no_orphans(session: Session, feed: Feed, _window: Window) -> dg.AssetCheckResult:
    count = reconcile.orphans(session, feed)
    return _expect_none(
        "orphans", count, f"{feed.name}: {counted(count, 'row')} of unknown clients"
    )


def _expect_none(name: str, count: int, problem: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=count == 0, description=problem if count else None, metadata={name: count}
    )


def _share_complete(session: Session, feed: Feed, window: Window) -> dg.AssetCheckResult:
    clients, pending, deferred = reconcile.completeness(session, feed, window)
    return dg.AssetCheckResult(
        passed=pending == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=completeness_sentence(feed.name, str(window.last), clients, pending, deferred),
        metadata={"clients": clients, "pending": pending, "deferred": deferred},
    )


_TOTALS_AGREE = _FeedCheck(
    "totals_agree",
    "Rows of the source = live rows + rows in quarantine, client by client.",
    _totals_agree,
    is_blocking=True,
)
_KEYS_ARE_UNIQUE = _FeedCheck(
    "keys_are_unique", "No row is live twice, on two days.", _keys_are_unique
)
_ONE_CLIENT_HAS_EACH_ROW = _FeedCheck(
    "one_client_has_each_row",
    "No row is live under two clients.\n\nCards that are merged move rows to another client; they "
    "count twice until the source reports that for the old client too, or `lcm retire` does.",
    _one_client_has_each_row,
)
_NO_ORPHANS = _FeedCheck("no_orphans", "The client of every row is in the roster.", _no_orphans)
_SHARE_COMPLETE = _FeedCheck(
    "share_complete",
    "Every client registered by the end of the last day was read, and the reading proven.\n\n"
    "Clients that are not due yet (LCM_MAX_STALENESS_DAYS) are counted, and do not fail the check.",
    _share_complete,
)


def _checks_of(feed: Feed) -> tuple[_FeedCheck, ...]:
    """The checks of a feed. Totals of the roster do not block: the facts do not depend on them."""
    if feed.is_by_day:
        return (replace(_TOTALS_AGREE, is_blocking=False), _KEYS_ARE_UNIQUE, _SHARE_COMPLETE)
    checks = (_TOTALS_AGREE, _KEYS_ARE_UNIQUE, _NO_ORPHANS, _SHARE_COMPLETE)
    moves = any(table.moves_between_clients for table in feed.tables)
    return (*checks, _ONE_CLIENT_HAS_EACH_ROW) if moves else checks


def step_name(feed: Feed) -> str:
    """The step that checks a feed."""
    return f"checked_{feed.name}"


def _checked(feed: Feed) -> dg.AssetChecksDefinition:
    """The checks of one feed, in one step: a step costs more than its checks."""
    asset = dg.AssetKey(feed.checked_asset)
    checks = {check.name: check for check in _checks_of(feed)}

    @dg.multi_asset_check(
        name=step_name(feed),
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=asset,
                description=check.description,
                blocking=check.is_blocking,
            )
            for check in checks.values()
        ],
        can_subset=True,
    )
    def checked(
        context: dg.AssetCheckExecutionContext, sync: dg.ResourceParam[SyncResource]
    ) -> Iterator[dg.AssetCheckResult]:
        window = window_of(context)
        selected = sorted(key.name for key in context.selected_asset_check_keys)

        def evaluate(session: Session) -> dict[str, dg.AssetCheckResult]:
            return {name: checks[name].evaluate(session, feed, window) for name in selected}

        for name, result in sync.session.run(evaluate).items():
            yield result._replace(asset_key=asset, check_name=name)

    return checked


def completeness_sentence(feed: str, day: str, total: int, pending: int, deferred: int = 0) -> str:
    """Describe how complete a day is; the share is rounded down, so 100 % means complete."""
    unit = feed_named(feed).unit
    waiting = pending + deferred
    if not waiting:
        return f"{day} is complete, {counted(total, unit)} read"
    share = int(10_000 * (total - waiting) / total) / 100 if total else 0.0
    reasons = {"pending": pending, "deferred": deferred}
    reasons_given = ", ".join(f"{counted(n, unit)} {reason}" for reason, n in reasons.items() if n)
    return f"{day} is {share:.2f} % complete, {reasons_given}"


FEED_CHECKS = [_checked(feed) for feed in FEEDS]
