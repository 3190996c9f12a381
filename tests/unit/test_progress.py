"""What is logged while feeds are read and marts are computed, without a terminal."""

import logging
import re
import time

import pytest

from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.sync import progress as of_feeds
from lcm_pipeline.sync.progress import LoggedProgress
from lcm_pipeline.warehouse.marts import progress as of_marts


def test_a_feed_that_other_processes_have_read_ends_without_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    progress = LoggedProgress()
    progress.start("leads", 3, 1)
    progress.advance("leads", 2)
    progress.finish("leads")
    # The process that publishes a run that several readers have read.
    progress.finish("operations")
    assert caplog.messages == ["leads: 3 done", "operations: done"]


def test_tasks_that_are_read_again_are_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = LoggedProgress()
    progress.start("leads", 10, 0)
    progress.advance("leads", 9)
    progress.fail("leads", 1)
    # Postgres has crashed, and with it the readings that were staged.
    progress.advance("leads", 9)
    progress.finish("leads")
    assert caplog.messages == ["leads: 9 done, 1 pending"]


def test_a_reader_that_does_not_know_the_total_logs_what_it_has_read(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_feeds, "_EVERY_SECONDS", 0)
    caplog.set_level(logging.INFO)
    progress = LoggedProgress()
    progress.advance("leads", 7)
    progress.fail("leads", 1)
    assert caplog.messages == [
        "leads: 7 done by this reader",
        "leads: 7 done by this reader, 1 pending",
    ]


def test_a_mart_that_takes_long_is_named_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(of_marts, "_EVERY_SECONDS", 0.01)
    printed = ""
    with marts_progress(), of_marts.logged_progress(65) as begin:
        begin("cheques")
        begin("points_movements")
        while "points_movements" not in printed:
            time.sleep(0.01)
            printed += capsys.readouterr().err
    assert re.search(
        r"^lcm: marts: 1 of 65 done, points_movements takes \d+ s so far$", printed, re.M
    )


def test_marts_that_take_no_time_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    with marts_progress(), of_marts.logged_progress(1) as begin:
        begin("cheques")
    assert not capsys.readouterr().err
