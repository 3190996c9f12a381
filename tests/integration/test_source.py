"""A warehouse stores one programme: another one is refused until it is adopted."""

from pathlib import Path

import pytest

from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.source import held_source, source_of
from tests.conftest import Programme
from tests.integration.test_cli import run
from tests.oracle import snapshot

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
    found = [source_of(given) for given in settings]
    assert found[0] == found[1]


def test_another_programme_is_refused_and_nothing_is_read_or_written(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    synced, foreign = programme(clients=12), programme(clients=12, seed=8)
    known = {"LCM_DATABASE_URL": warehouse.url, "LCM_START_DATE": "2026-03-01"}
    done = run(tmp_path, "sync", *DAY, LCM_API_URL=synced.url, **known)
    assert done.returncode == 0, done.stderr
    before = snapshot(warehouse)
    for words in (("sync", *DAY), ("push",), ("verify", "--sample", "1")):
        refused = run(tmp_path, *words, LCM_API_URL=foreign.url, **known)
        assert refused.returncode == 2, words
        assert synced.url.rstrip("/") in refused.stderr
        assert "lcm adopt" in refused.stderr
        assert "Traceback" not in refused.stderr
    another = run(tmp_path, "sync", *DAY, LCM_API_URL=synced.url, LCM_OPERATOR="7", **known)
    assert another.returncode == 2
    assert foreign.service.traffic.counts()["requests"] == 0
    assert snapshot(warehouse) == before


@pytest.mark.slow
def test_a_programme_that_has_moved_can_be_adopted(
    programme: Programme, warehouse: Warehouse, tmp_path: Path
) -> None:
    here, there = programme(clients=12), programme(clients=12)
    known = {"LCM_DATABASE_URL": warehouse.url, "LCM_START_DATE": "2026-03-01"}
    assert run(tmp_path, "sync", *DAY, LCM_API_URL=here.url, **known).returncode == 0
    unsure = run(tmp_path, "adopt", LCM_API_URL=there.url, **known)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert held_source(warehouse) == source_of(load_settings(api_url=here.url))
    assert run(tmp_path, "adopt", "--yes", LCM_API_URL=there.url, **known).returncode == 0
    assert run(tmp_path, "sync", *DAY, LCM_API_URL=there.url, **known).returncode == 0
