"""Days end by the clock: one that is wrong must not make a day complete whose rows still come."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from email.utils import format_datetime
from pathlib import Path

import pytest

from lcm_pipeline.api.clocks import seconds_ahead
from lcm_pipeline.feeds import OPERATIONS
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse import clock, partitions
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import run
from tests.databases import fetch_value
from tests.scripted_api import Fields, Reply, operation, person, serving
from tests.syncing import sync_everything

DAY = timedelta(days=1)


def test_a_day_that_still_runs_by_the_clock_of_the_service_is_not_synced(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    """As on a machine whose clock is a day ahead: what it takes for yesterday is today."""
    yesterday = load_settings().yesterday()
    with serving(person(1, f"{yesterday}T09:00:00")) as api:
        variables = {
            "LCM_API_URL": api.url,
            "LCM_DATABASE_URL": warehouse.url,
            "LCM_START_DATE": str(yesterday),
        }

        def a_day_behind(name: str, request: Fields) -> Reply:
            date = format_datetime(datetime.now(UTC) - DAY, usegmt=True)
            return Reply(api.plain(name, request), headers={"Date": date})

        api.rules.append(a_day_behind)
        refused = run(tmp_path, "sync", "--yesterday", **variables)
        assert refused.returncode == 2, refused.stderr
        assert f"{yesterday} has not ended by the clock of the service" in refused.stderr
        assert fetch_value(warehouse, "select count(*) from sync.day_completeness") == 0

        # The rest of the day, and its end.
        api.people[1].operations.append(operation(99, f"{yesterday}T23:30:00"))
        api.rules.clear()
        synced = run(tmp_path, "sync", "--yesterday", **variables)
        assert synced.returncode == 0, synced.stderr
        late = "select count(*) from core.operations where operation_id = 99"
        assert fetch_value(warehouse, late) == 1


def test_the_date_of_a_service_that_does_not_know_the_time_is_ignored(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    yesterday = load_settings().yesterday()
    with serving(person(1, f"{yesterday}T09:00:00")) as api:

        def without_a_clock(name: str, request: Fields) -> Reply:
            date = "Thu, 01 Jan 1970 00:00:00 GMT"
            return Reply(api.plain(name, request), headers={"Date": date})

        api.rules.append(without_a_clock)
        synced = run(
            tmp_path,
            "sync",
            "--yesterday",
            LCM_API_URL=api.url,
            LCM_DATABASE_URL=warehouse.url,
            LCM_START_DATE=str(yesterday),
        )
    assert synced.returncode == 0, synced.stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86_400, "s ahead of this machine's"), (-86_400, "s behind this machine's"), (60, "")],
)
def test_a_clock_of_the_warehouse_that_is_not_ours_is_reported(
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    words: str,
) -> None:
    theirs = datetime.now(UTC) + timedelta(seconds=seconds)
    monkeypatch.setattr(clock, "fetch_value", lambda *_: theirs)
    clock.warn_of_other_clock(warehouse)
    assert words in caplog.text
    assert bool(caplog.text) == bool(words)


@pytest.mark.parametrize("years", [-1, 1])
def test_earlier_versions_get_the_months_by_the_clock_that_dates_them(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    class Differing(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=365 * years)

    monkeypatch.setattr(partitions, "datetime", Differing)
    day = date(2026, 3, 1)
    with serving(person(1)) as api:
        settings = load_settings(api_url=api.url, database_url=warehouse.url)
        sync_everything(settings, warehouse, Window(day, day))
        api.people[1].operations[0]["Amount"] = 200
        SyncEngine(settings, warehouse).sync(OPERATIONS, Window(day, day))
    assert fetch_value(warehouse, "select count(*) from history.operations") == 1


def test_a_date_between_the_request_and_the_response_shows_no_difference() -> None:
    header = "Sun, 01 Mar 2026 12:00:00 GMT"
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    # The service may take long, and set the Date at any time; it has whole seconds.
    assert seconds_ahead(header, noon - 30, noon + 30) == 0
    assert seconds_ahead(header, noon + 0.9, noon + 1.5) == 0
    assert seconds_ahead(header, noon - 90, noon - 60) == 60
    assert seconds_ahead(header, noon + 60, noon + 90) == -60
    for text in (None, "", "noon", "0" * 1000, "Sun, 99 Mar 2026 12:00:00 GMT"):
        assert seconds_ahead(text, noon, noon) is None
