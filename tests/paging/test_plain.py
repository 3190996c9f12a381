"""A plain loop over pages silently loses rows that our reader does not lose."""

from tests.paging.plain import count, plain, proven


def test_a_plain_loop_loses_rows_that_a_proven_reading_has() -> None:
    assert count(plain, 2000, 0.05)["lost"] > 10
    assert count(proven, 500, 0.05)["lost"] == 0


def test_neither_loses_a_row_of_an_unchanging_source() -> None:
    for read in (plain, proven):
        assert count(read, 200, 0.0) == {"whole": 200}
