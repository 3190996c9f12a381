"""The progress bars of a sync: saved clients advance them, failed ones do not."""

import pytest

from lcm_pipeline.cli.progress_bar import ProgressBar


def test_failures_do_not_advance_a_bar_and_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressBar() as bars:
        bars.start("operations", 10, 4)
        bars.advance("operations", 3)
        bars.fail("operations", 2)
        bars.fail("operations", 1)
        bars.finish("operations")
        bars.start("leads", 5, 0)
        bars.fail("leads", 5)
        bars.start("favourites", 5, 0)
        bars.finish("favourites")
    lines = {line.split()[0]: line for line in capsys.readouterr().err.splitlines() if line}
    assert "7/10" in lines["operations"]
    assert "3 pending" in lines["operations"]
    assert "0/5" in lines["leads"]
    assert "5 pending" in lines["leads"]
    assert "5/5" in lines["favourites"]
    assert "pending" not in lines["favourites"]


def test_a_feed_that_was_not_started_has_a_bar_without_a_total(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressBar() as bars:
        bars.advance("operations", 7)
        bars.fail("operations", 2)
        bars.advance("leads", 7)
        bars.fail("leads", 2)
        bars.finish("leads")
        bars.finish("favourites")
        bars.advance("registrations", 1)
        bars.fail("registrations", 1)
        bars.start("registrations", 5, 3)
    shown = capsys.readouterr().err.splitlines()
    lines = {line.split()[0]: line for line in shown if line}
    assert "7/?" in lines["operations"]
    assert "2 pending" in lines["operations"]
    assert "7/9" in lines["leads"]
    assert "0/0" in lines["favourites"]
    assert "3/5" in lines["registrations"]
    assert "pending" not in lines["registrations"]
    assert sum(line.startswith("registrations") for line in shown) == 1
