"""The log of unexpected errors: where they were raised, and nothing of what they say."""

import logging

import pytest

from lcm_pipeline.model.unexpected import UnexpectedErrorLog

SECRET = "Иванова"

logger = logging.getLogger(__name__)


def _raised(depth: int = 0) -> ValueError:
    def fail(left: int) -> None:
        if left:
            fail(left - 1)
        try:
            {}[SECRET]
        except KeyError as error:
            raise ValueError(SECRET) from error

    with pytest.raises(ValueError, match=SECRET) as caught:
        fail(depth)
    return caught.value


def test_a_place_is_logged_once_with_its_cause_and_without_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log = UnexpectedErrorLog(logger, logging.WARNING)
    for client in (1, 2):
        log.record(f"client {client}", _raised())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("client 1: unexpected error: ValueError, raised at\n")
    assert "in fail" in record.getMessage()
    assert "KeyError" in record.getMessage()
    assert SECRET not in record.getMessage()


def test_repetitions_and_other_places_are_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = UnexpectedErrorLog(logger)
    for depth in (0, 0, 1):
        log.record("client 1", _raised(depth))
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.ERROR, logging.DEBUG, logging.ERROR]


def test_a_deep_recursion_is_logged_in_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    UnexpectedErrorLog(logger).record("client 1", _raised(500))
    assert len(caplog.messages[0].splitlines()) < 150
