"""Date filters: the period of BegDate and EndDate, and the registrations that match a request.

A quirk decides whether EndDate itself, its whole day, or neither belongs to the period.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lcm_pipeline.simulator.customers import Entry
from lcm_pipeline.simulator.fields import Row
from lcm_pipeline.simulator.moments import DAY, date_of
from lcm_pipeline.simulator.programme import Programme
from lcm_pipeline.simulator.quirks import Quirks
from lcm_pipeline.simulator.requests import Request


@dataclass(frozen=True, slots=True)
class Period:
    """From `first`, included, to `after`, excluded, in ticks; None is no bound."""

    first: int | None
    after: int | None

    @property
    def bounded(self) -> bool:
        return self.first is not None or self.after is not None

    def holds(self, moment: int) -> bool:
        """Whether a moment lies in the period."""
        return (self.first is None or moment >= self.first) and (
            self.after is None or moment < self.after
        )

    def of(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The entries whose moment lies in the period."""
        if not self.bounded:
            return entries
        return [entry for entry in entries if self.holds(entry.moment)]


def period_of(request: Request, quirks: Quirks) -> Period:
    """The period of a request."""
    end = request.get("EndDate")
    if end is not None and quirks.end_date == "inclusive":
        end += 1
    elif end is not None and quirks.end_date == "whole_day":
        end += DAY - end % DAY
    return Period(request.get("BegDate"), end)


def matching_registrations(
    programme: Programme, request: Request, quirks: Quirks
) -> Sequence[Entry]:
    """The (Client, Card) rows that match a request of ClientInfoPeriod.

    Without `Registration` any action counts, so clients with an operation in the period match too.
    """
    period = period_of(request, quirks)
    everyone = programme.registrations.newest_first()
    reg = {name: value for name, value in request.get("Reg", {}).items() if value is not False}
    if request.get("Registration") or reg:
        entries = [entry for entry in period.of(everyone) if _matches_reg(programme, entry, reg)]
    else:
        entries = [
            e for e in everyone if period.holds(e.moment) or _has_operation(programme, e, period)
        ]
    if (pos := request.get("RegPosList")) is not None:
        entries = [entry for entry in entries if entry.row["RegPos"] == pos]
    return entries


def _matches_reg(programme: Programme, entry: Entry, reg: Row) -> bool:
    today, day = date_of(programme.agenda.now), date_of(entry.moment)
    if "Today" in reg and day != today:
        return False
    if "Yesterday" in reg and (today - day).days != 1:
        return False
    if "Year" in reg and day.year != reg["Year"]:
        return False
    return "Month" not in reg or (day.month, day.year) == (
        reg["Month"],
        reg.get("Year", today.year),
    )


def _has_operation(programme: Programme, entry: Entry, period: Period) -> bool:
    customer = programme.customers[int(str(entry.row["Client"]))]
    return any(period.holds(operation.moment) for operation in customer.operations)
