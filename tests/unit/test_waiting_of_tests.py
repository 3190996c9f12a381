"""Waiting for a condition fails only if the condition is false after the time is over."""

import time

import pytest

from tests.waiting import wait_for


def test_a_machine_that_stalls_during_a_wait_fails_no_test() -> None:
    answers = iter([False, True])

    def stall() -> bool:
        time.sleep(0.05)
        return next(answers)

    assert wait_for(stall, seconds=0.01)


def test_a_condition_that_is_never_true_fails_with_the_problem() -> None:
    with pytest.raises(AssertionError, match="it goes on"):
        wait_for(lambda: False, lambda: "it goes on", seconds=0.01)
