"""Polling one registration day: ClientInfoPeriod has no paging and no total.

The period is asked with a margin, since servers differ on whether its ends belong to it, and rows
of other days are dropped. Fewer rows than before count only when a second look agrees.
"""

from datetime import UTC, datetime, time, timedelta

from lcm_pipeline.loyalty_api.paging import read_registrations
from lcm_pipeline.model.pages import SourceRow
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.model.readings import Assignment, Outcome
from lcm_pipeline.sync.feeds import Feed
from lcm_pipeline.sync.proofs import fingerprint
from lcm_pipeline.sync.reading import Unproven
from lcm_pipeline.sync.source import Source
from lcm_pipeline.transform.clients import land_registrations, registered_on

_MARGIN = timedelta(seconds=1)


async def read_registration_day(source: Source, feed: Feed, assignment: Assignment) -> Outcome:
    """Poll one day; raises Unproven when two looks disagree, or what the API raises."""
    read_at = datetime.now(UTC)
    rows = await _look(source, assignment)
    digest = fingerprint(rows)
    if (
        len(rows) < (assignment.source_total or 0)
        and fingerprint(await _look(source, assignment)) != digest
    ):
        raise Unproven(f"the registrations of {assignment.day} differ from one look to the next")
    is_known = digest == assignment.fingerprint and not assignment.is_whole
    return Outcome(
        assignment,
        "done",
        read_at,
        landing=land_registrations(assignment.day, () if is_known else rows, source.zone),
        reading="unchanged" if is_known else "full",
        source_total=len(rows),
        fingerprint=digest,
    )


async def _look(source: Source, assignment: Assignment) -> tuple[SourceRow, ...]:
    """The rows of the day, and those whose day cannot be read."""
    begins = datetime.combine(assignment.day, time(), source.zone).astimezone(SERVICE_ZONE)
    ends = datetime.combine(assignment.day + timedelta(days=1), time(), source.zone).astimezone(
        SERVICE_ZONE
    )
    page = await read_registrations(
        source.api, (begins - _MARGIN).replace(tzinfo=None), ends.replace(tzinfo=None)
    )
    if page.suspicious:
        raise Unproven(f"the registrations of {assignment.day} came with a message each time")
    return tuple(
        row for row in page.rows if registered_on(row, source.zone) in (assignment.day, None)
    )
