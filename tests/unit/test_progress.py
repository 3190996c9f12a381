"""What is logged while feeds are read, without a terminal."""

import logging

import pytest

from lcm_pipeline.sync.progress import LoggedProgress


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
