"""Texts of others as they are shown: they can neither control a terminal nor fill a page."""

from datetime import date

import pytest

from lcm_pipeline.cli.results import what_is_incomplete
from lcm_pipeline.model.texts import (
    counted,
    database_message,
    join_names,
    shorten,
    strip_control_characters,
)
from lcm_pipeline.model.windows import Window
from lcm_pipeline.sync.report import SyncReport


@pytest.mark.parametrize(
    "hostile",
    ["\x1b[31m", "\x9b31m", "\x07", "\x08", "\r", "\x0b", "\x7f", "\u202e", "\u200b", "\ufeff",
     "\u2028", "\x00", "\U000e0041", "\ud800"],
)  # fmt: skip
def test_no_control_character_reaches_a_terminal(hostile: str) -> None:
    line = f"before{hostile}after"
    assert hostile[0] not in strip_control_characters(line)
    assert strip_control_characters(line).startswith("before")
    assert strip_control_characters(line).endswith("after")


def test_lines_tabs_and_all_letters_stay() -> None:
    text = "Магазин №1\n\tcafé 🎁 ё"
    assert strip_control_characters(text) == text


def test_a_text_is_shown_on_one_line_and_cut() -> None:
    assert shorten("  a\r\n b\tc ") == "a b c"
    assert shorten("x" * 80) == "x" * 80
    assert shorten("x" * 81) == "x" * 79 + "…"
    assert len(shorten("🎁" * 1_000_000)) == 80
    assert shorten("\x1b" * 1_000) == "…"


def test_names_are_shown_up_to_twenty_with_how_many_more() -> None:
    assert join_names([]) == ""
    assert join_names({"b", "a", ""}) == '"", a, b'
    many = join_names([f"field{number:05}" for number in range(50_000)])
    assert many.startswith("field00000, field00001")
    assert many.endswith("field00019, … and 49,980 more")


def test_of_a_database_error_only_the_message_and_the_hint_are_shown() -> None:
    error = (
        "could not extend file: No space left on device.\nLINE 1: insert into clients\n   ^\n"
        "DETAIL:  Failing row contains (9031234567).\nHINT:  Check free disk space.\n"
        'QUERY:  select\n1\nCONTEXT:  COPY clients, line 3: "9031234567"\nSQL function "f"'
    )
    assert database_message(error) == (
        "could not extend file: No space left on device. Check free disk space"
    )
    assert database_message("not reached.\n\tIs it running?\n") == "not reached"
    assert database_message("All failures were:\n- host: a\n- host: b") == (
        "All failures were: - host: a. - host: b"
    )


def test_a_single_one_is_named_in_the_singular() -> None:
    assert [counted(count, "row") for count in (0, 1, 2, 2_000)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "2,000 rows",
    ]
    assert [counted(count, "key is", "keys are") for count in (1, 2)] == ["1 key is", "2 keys are"]


def test_the_report_of_a_sync_names_a_single_row_in_the_singular() -> None:
    day = date(2026, 3, 1)
    report = SyncReport(
        "leads", Window(day, day), clients=1, pending=1, rows_read=1, rows_written=1,
        rows_deleted=1, quarantined=1, requests=1, retries=1, seconds=1.0, is_resumed=False,
    )  # fmt: skip
    (_, quarantined) = what_is_incomplete(report)
    assert quarantined.startswith("leads: 1 row in sync.quarantine does not fit")
