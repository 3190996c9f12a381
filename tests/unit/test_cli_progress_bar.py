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
