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
