"""A warehouse stores one programme: another one is refused until it is adopted."""

import re
from datetime import date
from pathlib import Path

import pytest

from lcm_pipeline.feeds import REGISTRATIONS
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.programme import (
    OtherProgrammeError,
    OtherTimeZoneError,
    programme_of,
    require_programme,
    stored_programme,
)
from tests.commands import run
from tests.conftest import MakeSettings, Programme
from tests.databases import fetch_value
from tests.stored import snapshot

DAY = ("--date", "2026-03-02")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://host/a/", "https://HOST:443/a"),
        ("http://host:80/", "http://host."),
        ("http://[::1]:8080/x/", "http://[::1]:8080/x"),
    ],
)
def test_different_spellings_of_an_address_are_one_programme(one: str, other: str) -> None:
    settings = [load_settings(api_url=url, operator=5, allow_http=True) for url in (one, other)]
    found = [programme_of(given) for given in settings]
    assert found[0] == found[1]


@pytest.mark.slow
def test_another_programme_is_refused_and_nothing_is_read_or_written(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    synced, foreign = programme(clients=12), programme(clients=12, seed=8)
    known = {"LCM_DATABASE_URL": warehouse.url, "LCM_START_DATE": "2026-03-01"}
    done = run(tmp_path, "sync", *DAY, LCM_API_URL=synced.url, **known)
    assert done.returncode == 0, done.stderr
    before = snapshot(warehouse)
    for words in (("sync", *DAY), ("plan", *DAY), ("push",), ("verify", "--sample", "1")):
        refused = run(tmp_path, *words, LCM_API_URL=foreign.url, **known)
        assert refused.returncode == 2, words
        assert synced.url.rstrip("/") in refused.stderr
        assert "lcm adopt" in refused.stderr
        assert "Traceback" not in refused.stderr
    doctor = run(tmp_path, "doctor", LCM_API_URL="http://127.0.0.1:9/", **known)
    assert doctor.returncode == 1
    assert re.search(r"^fail  programme: .*lcm adopt", doctor.stdout, re.MULTILINE | re.DOTALL)
    fits = run(tmp_path, "doctor", LCM_API_URL=synced.url, **known)
    assert "programme:" not in fits.stdout
    another = run(tmp_path, "sync", *DAY, LCM_API_URL=synced.url, LCM_OPERATOR="7", **known)
    assert another.returncode == 2
    assert foreign.service.traffic.counts()["requests"] == 0
    assert snapshot(warehouse) == before


@pytest.mark.slow
def test_a_wrong_address_can_be_corrected_until_something_was_read(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    right = make_settings(programme(clients=12), warehouse)
    wrong = right.model_copy(update={"api_url": "http://127.0.0.1:9/wrong/"})
    day = Window(date(2026, 3, 2), date(2026, 3, 2))
    require_programme(warehouse, wrong)
    with pytest.raises(UserError, match=r"no connection to 127\.0\.0\.1:9 \(LCM_API_URL\)"):
        SyncEngine(wrong, warehouse).sync(REGISTRATIONS, day)
    require_programme(warehouse, right)
    assert stored_programme(warehouse) == programme_of(right)
    SyncEngine(right, warehouse).sync(REGISTRATIONS, day)
    with pytest.raises(OtherProgrammeError):
        require_programme(warehouse, wrong)
    assert stored_programme(warehouse) == programme_of(right)


def test_an_address_is_not_replaced_while_somebody_reads_it(warehouse: Warehouse) -> None:
    recorded = load_settings(api_url="http://127.0.0.1:9/")
    require_programme(warehouse, recorded)
    with warehouse.connect() as session:
        # A run whose first call has not returned yet: the key of its lock, see sync.session_locks.
        session.execute("select pg_advisory_lock_shared(7103341, 1)")
        with pytest.raises(OtherProgrammeError):
            require_programme(warehouse, recorded.model_copy(update={"operator": 7}))
    require_programme(warehouse, recorded.model_copy(update={"operator": 7}))


@pytest.mark.slow
def test_another_time_zone_is_refused_as_it_would_mix_the_days_of_both(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Clients without new rows are not read again, so their rows would keep their days."""
    known = {
        "LCM_API_URL": programme(clients=12).url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_START_DATE": "2026-03-01",
    }
    there, here = {"LCM_TIMEZONE": "Asia/Vladivostok"}, {"LCM_TIMEZONE": "Europe/Moscow"}
    synced = run(tmp_path, "sync", *DAY, **known, **there)
    assert synced.returncode == 0, synced.stderr
    before = snapshot(warehouse)
    for words in (
        ("sync", "--date", "2026-03-03"),
        ("plan", "--date", "2026-03-03"),
        ("push",),
        ("verify", "--sample", "1"),
        ("status",),
        ("metrics",),
        ("report",),
        ("bundle",),
        ("retention",),
    ):
        refused = run(tmp_path, *words, LCM_RETENTION_MONTHS="240", **known, **here)
        assert refused.returncode == 2, words
        assert "LCM_TIMEZONE=Asia/Vladivostok" in refused.stderr, words
        assert "Traceback" not in refused.stderr
    doctor = run(tmp_path, "doctor", **known, **here)
    assert re.search(r"^fail  zone: .*Asia/Vladivostok", doctor.stdout, re.MULTILINE)
    # Nothing of the API is read here, and the days are those of the warehouse.
    assert run(tmp_path, "marts", "--all", **known, **here).returncode == 0
    assert snapshot(warehouse) == before
    assert fetch_value(warehouse, "select timezone from mart.parameters") == "Asia/Vladivostok"


def test_a_wrong_time_zone_can_be_corrected_until_something_was_read(warehouse: Warehouse) -> None:
    recorded = load_settings(api_url="http://127.0.0.1:9/", timezone="Asia/Omsk")
    require_programme(warehouse, recorded)
    corrected = recorded.model_copy(update={"timezone": "Asia/Tomsk"})
    require_programme(warehouse, corrected)
    with warehouse.connect(autocommit=True) as session:
        session.execute(
            "insert into sync.registration_days (registration_date) values ('2026-03-01')"
        )
    with pytest.raises(OtherTimeZoneError, match="LCM_TIMEZONE=Asia/Tomsk"):
        require_programme(warehouse, recorded)
    require_programme(warehouse, corrected)


@pytest.mark.slow
def test_a_programme_that_has_moved_can_be_adopted(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    here, there = programme(clients=12), programme(clients=12)
    known = {"LCM_DATABASE_URL": warehouse.url, "LCM_START_DATE": "2026-03-01"}
    assert run(tmp_path, "sync", *DAY, LCM_API_URL=here.url, **known).returncode == 0
    unsure = run(tmp_path, "adopt", LCM_API_URL=there.url, **known)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert stored_programme(warehouse) == programme_of(load_settings(api_url=here.url))
    assert run(tmp_path, "adopt", "--yes", LCM_API_URL=there.url, **known).returncode == 0
    assert run(tmp_path, "sync", *DAY, LCM_API_URL=there.url, **known).returncode == 0
