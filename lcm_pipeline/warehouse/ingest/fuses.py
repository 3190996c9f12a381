"""The fuses: they stop a publish that would delete or add too much.

A failing source may return responses that look valid. So three fuses compare what is about to be
written with what is stored: rows that vanish, phones that vanish, a roster that grows suddenly.
They read the tables that the publish has made in its transaction.
"""

from math import ceil

from lcm_pipeline.model.tables import COVERED_DAYS, CoreTable
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest import merge
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.queries import fetch_count, fetch_value, query

# So many rows may vanish whatever their share, unless they are more than half: in a programme of
# a dozen leads, one that is deleted as spam would stop each sync from then on.
_FEW_ROWS = 10
# A registration day may lose a few rows, this share of them, or LCM_DELETE_FUSE if that is more. A
# publish covers a month of days: one that the source returns as empty is a small share of it.
_SHARE_OF_A_DAY = 0.5
# This many clients may always register on a day: the start of a programme is not a failure.
_FEW_CLIENTS = 10_000


class PublishRefusedError(Exception):
    """A fuse tripped, or rows have no plausible day; nothing was written.

    The message states what would have been published, and what to do if the source is right.
    """


def check_vanished_rows(session: Session, run: Run, table: CoreTable, delete_fuse: float) -> None:
    """Count rows of a table that the source no longer has, of those that it returned before."""
    lost = fetch_count(session, merge.statement("count_lost", table))
    covered = int(fetch_value(session, "count_covered_rows") or 0)
    if _is_too_much(lost, covered, delete_fuse):
        raise PublishRefusedError(
            f"{run.feed}: the source no longer has {lost:,} of {covered:,} rows,"
            f" {_advise_delete_fuse(lost, covered, delete_fuse)}"
        )
    if table.covered_by is not COVERED_DAYS:
        return
    # One of the days may be a failure of the source.
    limit = max(delete_fuse, _SHARE_OF_A_DAY)
    for day, lost, covered in session.execute(merge.statement("count_lost_of_days", table)):
        if lost > max(_FEW_ROWS, limit * covered):
            raise PublishRefusedError(
                f"{run.feed}: the source no longer has {lost:,} of {covered:,} rows of {day},"
                f" {_advise_delete_fuse(lost, covered, limit, scope=' of a day')}"
            )


def check_vanished_phones(session: Session, run: Run, delete_fuse: float) -> None:
    """Count phones that the source reports as empty; a phone missing in a response stays."""
    row = session.execute(query("count_vanished_phones")).fetchone()
    lost, covered = (int(row[0]), int(row[1])) if row else (0, 0)
    if _is_too_much(lost, covered, delete_fuse):
        raise PublishRefusedError(
            f"{run.feed}: the source no longer has the phone of {lost:,} of {covered:,} clients,"
            f" {_advise_delete_fuse(lost, covered, delete_fuse)}"
        )


def check_growth(session: Session, run: Run, growth_fuse: float) -> None:
    """Check the number of new clients, since each one costs requests in every feed and run.

    Each day that was never polled is checked by itself, so that years can be loaded at once. Days
    that were polled before are checked together, since few clients should appear on them.
    """
    found = session.execute(query("count_new_clients")).fetchone() if growth_fuse else None
    if found is None or found[1] <= _FEW_CLIENTS:
        return
    day, new = found
    known = int(fetch_value(session, "count_other_clients", {"run_id": run.run_id}) or 0)
    if known and new > growth_fuse * known:
        raise PublishRefusedError(
            f"{run.feed}: {new:,} new clients registered on"
            f" {day or 'days that were polled before'}, in addition to {known:,} known ones, which"
            f" is more than LCM_GROWTH_FUSE allows ({growth_fuse:g} times as many;"
            f" {_FEW_CLIENTS:,} are always allowed). Nothing was published. If the source is right,"
            f" run again with a larger LCM_GROWTH_FUSE, such as {ceil(new / known)}, or with 0 for"
            " no limit"
        )


def _is_too_much(lost: int, covered: int, delete_fuse: float) -> bool:
    few = min(_FEW_ROWS, covered / 2) if delete_fuse > 0 else 0
    return lost > max(few, delete_fuse * covered)


def _advise_delete_fuse(lost: int, covered: int, limit: float, *, scope: str = "") -> str:
    return (
        f"which is more than LCM_DELETE_FUSE allows ({limit:.1%}{scope}). Nothing was published. If"
        " the source is right, run again with a larger LCM_DELETE_FUSE, such as"
        f" {min(1.0, lost / max(1, covered) + 0.01):.2f}"
    )
