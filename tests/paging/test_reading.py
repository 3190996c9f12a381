"""The reading of one client is exact or flagged, whatever the source does between requests."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.fingerprint import ProvenState, Reading
from lcm_pipeline.reading.proof import PagingHabits, prove_reading
from tests.paging.histories import drive, judge, run_history
from tests.paging.source import Manners, Source

manners = st.builds(
    Manners,
    base=st.sampled_from([0, 1]),
    cap=st.sampled_from([3, 4, 7, 1000]),
    one_too_many=st.booleans(),
    shuffles_ties=st.booleans(),
    oldest_first=st.booleans(),
    ignores_start=st.booleans(),
    lie=st.sampled_from([0, 0, 0, None, -1, 1, -4]),
    changes=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    # Excluded: counting from 0, a new order of equal moments at each request, and no total or one
    # that is too low. The hidden row may be another one in each response by chance, so that none
    # of them shows that there is one more.
).filter(lambda how: how.base or not how.shuffles_ties or (how.lie is not None and how.lie >= 0))


def make_source(seed: int, rows: int, moments: int, how: Manners) -> Source:
    source = Source(Random(seed), how)
    source.fill(rows, moments)
    return source


@settings(max_examples=1500, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 40),
    moments=st.integers(1, 60),
    how=manners,
    length=st.integers(1, 20),
)
def test_a_reading_is_exact_or_flagged(
    seed: int, rows: int, moments: int, how: Manners, length: int
) -> None:
    source = make_source(seed, rows, moments, how)
    try:
        reading = drive(source, length)
    except UnprovenReadingError:
        return
    judge(source, reading, seed)


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 60),
    cap=st.sampled_from([1, 2, 3, 5, 1000]),
    base=st.sampled_from([0, 1]),
    oldest_first=st.booleans(),
    length=st.integers(1, 20),
    total=st.sampled_from([0, None]),
)
def test_a_stable_source_is_never_flagged(
    seed: int, rows: int, cap: int, base: int, oldest_first: bool, length: int, total: int | None
) -> None:
    how = Manners(base=base, cap=cap, oldest_first=oldest_first, lie=total)
    source = make_source(seed, rows, 12, how)
    reading = drive(source, length)
    assert {row.key[0] for row in reading.rows} == set(source.rows)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 60), grown=st.integers(0, 25))
def test_rows_added_on_top_are_read_without_the_rest(seed: int, rows: int, grown: int) -> None:
    source = make_source(seed, rows, 1000, Manners())
    before = drive(source, 10)
    for moment in range(grown):
        source.insert(2000 + moment)
    before_requests = len(source.states)
    after = drive(source, 10, before.state_to_store)
    assert _after(before, after) == set(source.rows)
    if rows > 20 and grown < 5:
        assert len(source.states) - before_requests == 1


@settings(max_examples=600, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 60), changes=st.integers(1, 4))
def test_a_known_history_that_changed_is_exact_after_the_audit(
    seed: int, rows: int, changes: int
) -> None:
    source = make_source(seed, rows, 40, Manners(shuffles_ties=seed % 2 == 0))
    known = drive(source, 10).state_to_store
    for _ in range(changes):
        source.change()
    try:
        audited = drive(source, 10, known, must_be_full=True)
    except UnprovenReadingError:
        return
    if audited.kind == "unchanged":
        assert audited.state_to_store == known
        assert known.total == len(source.rows)
    else:
        judge(source, audited, seed)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("first", range(0, 20_000, 2_000))
def test_a_sample_of_the_long_run_is_never_silently_wrong(first: int) -> None:
    verdicts = [run_history(seed) for seed in range(first, first + 2_000)]
    assert "exact" in verdicts


def test_an_unchanged_history_costs_one_request() -> None:
    source = make_source(1, 300, 40, Manners(shuffles_ties=True))
    known: ProvenState = drive(source, 50).state_to_store
    before_requests = len(source.states)
    assert drive(source, 50, known).kind == "unchanged"
    assert len(source.states) - before_requests == 1


def _count_requests(
    source: Source, length: int, known: ProvenState | None = None
) -> tuple[int, int, bool]:
    """Read to the end; returns the most requests at once, all requests, whether it is proven."""
    reader = prove_reading(length=length, habits=PagingHabits(), known=known)
    requests = next(reader)
    most = total = 0
    while True:
        most, total = max(most, len(requests)), total + len(requests)
        assert total < 10_000
        try:
            requests = reader.send([source.respond(request) for request in requests])
        except StopIteration:
            return most, total, True
        except UnprovenReadingError:
            return most, total, False


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 60),
    claimed=st.sampled_from([100_000, 1_999_900, 2**31 - 100]),
    cap=st.sampled_from([1, 2, 3, 7, 1000]),
    base=st.sampled_from([0, 1]),
    length=st.integers(1, 20),
)
def test_a_total_far_too_large_costs_only_requests_for_existing_rows(
    seed: int, rows: int, claimed: int, cap: int, base: int, length: int
) -> None:
    source = make_source(seed, rows, 12, Manners(base=base, cap=cap, lie=claimed))
    most, total, is_proven = _count_requests(source, length)
    assert not is_proven
    assert total <= 40 + 8 * rows
    assert most <= 64


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 800), length=st.integers(6, 40))
def test_an_honest_source_is_read_in_windows_with_few_extra_requests(
    seed: int, rows: int, length: int
) -> None:
    source = make_source(seed, rows, 10_000, Manners())
    most, total, is_proven = _count_requests(source, length)
    assert is_proven
    assert most <= 64
    # On pages of fewer than 8 rows, rows of equal times can take most of the overlap.
    assert total <= 10 + (1.5 if length >= 8 else 3) * rows / (length - 2)


def test_a_history_that_grows_endlessly_is_not_read_forever() -> None:
    source = make_source(1, 40, 1000, Manners())
    known = drive(source, 10).state_to_store
    source.manners = Manners(lie=1_000_000, changes=1.0)
    assert _count_requests(source, 10, known)[2] is False


def test_a_vanished_history_is_confirmed_by_a_second_request() -> None:
    source = make_source(1, 40, 1000, Manners())
    known = drive(source, 10).state_to_store
    source.rows.clear()
    before_requests = len(source.states)
    assert drive(source, 10, known).state_to_store.total == 0
    assert len(source.states) - before_requests >= 2


@pytest.mark.parametrize(("known_rows", "left"), [(0, 0), (40, 0), (40, 7)])
def test_rows_do_not_vanish_while_responses_report_an_error(known_rows: int, left: int) -> None:
    source = make_source(1, known_rows, 1000, Manners())
    known = drive(source, 50).state_to_store if known_rows else None
    while len(source.rows) > left:
        source.rows.popitem()
    source.manners = Manners(is_suspicious=True)
    with pytest.raises(UnprovenReadingError, match="may report an error"):
        drive(source, 50, known)


def test_a_message_that_is_always_there_does_not_hold_back_rows() -> None:
    source = make_source(1, 40, 1000, Manners(is_suspicious=True))
    assert drive(source, 50).state_to_store.total == 40


def _after(before: Reading, after: Reading) -> set[int]:
    rows = {row.key[0] for row in after.rows}
    return rows if after.kind == "full" else rows | {row.key[0] for row in before.rows}
