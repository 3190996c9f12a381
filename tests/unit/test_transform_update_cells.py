"""Cells of an update file: every usual form of a value is read, and none is guessed."""

from datetime import date
from typing import Any

import pytest

from lcm_pipeline.push.csv_cells import UnreadableCellError, read_cell


def unfit(column: str, cell: str) -> str:
    with pytest.raises(UnreadableCellError) as caught:
        read_cell(column, cell)
    assert cell not in str(caught.value) or cell in ("x", "")
    return str(caught.value)


@pytest.mark.parametrize(
    "cell",
    [
        "9001234567",
        "+79001234567",
        "89001234567",
        "79001234567",
        " 9001234567\u00a0",
        "8 (900) 123-45-67",
        "+7 (900) 123-45-67",
        "+7\u00a0900\u00a0123\u00a045\u00a067",
        "8-900-123-45-67",
        "900 123\u201345\u201367",
        "8.900.123.45.67",
        "'9001234567",
        "'+79001234567",
        '="89001234567"',
        '="+7 (900) 123-45-67"',
        "9001234567.0",
        "89001234567.0",
        "9001234567,00",
        "9 001 234 567",
        "9,001,234,567.00",
        "\u202d+7 900 123-45-67\u202c",
        "tel:+79001234567",
    ],
)
def test_a_phone_in_any_usual_form_is_one_phone(cell: str) -> None:
    assert read_cell("phone", cell) == 9001234567


def test_zeros_at_the_end_of_a_phone_are_kept() -> None:
    assert read_cell("phone", "8.900.123.45.00") == 9001234500
    assert read_cell("phone", "9001234500.0") == 9001234500
    assert read_cell("phone", "8 900 123-40-00") == 9001234000


@pytest.mark.parametrize("cell", ["9.00E+09", "9,00123E+09", "9.001234567e9", "9E9"])
def test_a_phone_that_lost_its_digits_is_refused_with_the_reason(cell: str) -> None:
    assert "digits are gone" in unfit("phone", cell)
    assert "digits are gone" in unfit("client_id", cell)


@pytest.mark.parametrize(
    "cell",
    [
        "89001234567, 89001234568",
        "+89001234567",
        "+9001234567",
        "8900123456.7",
        "9001234567.5",
        "8 900 123-45-67 доб. 5",
        "-",
        "нет",
        "\u0669\u0660\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "9" * 30,
    ],
)
def test_an_ambiguous_phone_is_refused(cell: str) -> None:
    assert "expected a phone" in unfit("phone", cell)


@pytest.mark.parametrize("cell", ["12345", "8123456789", "84951234567", "0"])
def test_a_number_that_is_not_a_mobile_phone_is_read_and_judged_later(cell: str) -> None:
    assert read_cell("phone", cell) < 9_000_000_000


@pytest.mark.parametrize(
    "cell", ["1001", "1001.0", "1001,00", "1 001", "1\u00a0001", "'1001", '="1001"', "\ufeff1001"]
)
def test_a_client_is_one_number(cell: str) -> None:
    assert read_cell("client_id", cell) == 1001


@pytest.mark.parametrize(
    "cell",
    ["", "x", "1.5", "1,001", "1.001", "9223372036854775808", "9007199254740993.0", "NULL"],
)
def test_an_ambiguous_client_is_refused(cell: str) -> None:
    assert "expected the number of a client" in unfit("client_id", cell)


@pytest.mark.parametrize(
    ("cells", "flag"),
    [
        (("true", "TRUE", "t", "1", "1.0", "1,0", "yes", "Y", "да", "ДА\u00a0", "ИСТИНА"), True),
        (("false", "False", "f", "0", "0.0", "no", "n", "нет", "Нет", "ложь", '="0"'), False),
        (("", " ", "\u00a0"), None),
    ],
)
def test_a_flag_is_read_as_spreadsheets_and_people_write_it(
    cells: tuple[str, ...], flag: bool | None
) -> None:
    assert [read_cell("allow_sms", cell) for cell in cells] == [flag] * len(cells)


@pytest.mark.parametrize(
    ("cells", "gender"),
    [
        (("М", "м", "муж", "Муж.", "мужской", "male", "M", "1", "1.0"), 1),
        (("Ж", "жен", "жен.", "женский", "Female", "f", "-1", "-1.0", "\u22121"), -1),
        (("0", "0.0"), 0),
    ],
)
def test_a_gender_is_read_as_people_write_it(cells: tuple[str, ...], gender: int) -> None:
    assert [read_cell("gender", cell) for cell in cells] == [gender] * len(cells)


@pytest.mark.parametrize(
    "cell",
    [
        "1990-05-31",
        "31.05.1990",
        "1990-05-31 00:00:00",
        "1990-05-31 00:00:00.000",
        "31.05.1990 0:00",
        "31.05.1990 00:00:00",
        "1990-05-31T00:00:00",
        "1990-05-31T00:00:00Z",
        "1990-05-31T00:00:00.000+03:00",
        "31.05.1990\u00a00:00:00",
        '="31.05.1990"',
    ],
)
def test_a_day_may_have_a_time_of_midnight(cell: str) -> None:
    assert read_cell("birthdate", cell) == date(1990, 5, 31)


def test_a_day_with_another_time_is_refused() -> None:
    assert "a time of day" in unfit("birthdate", "1990-05-30T21:00:00Z")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("birthdate", "05/31/1990"),
        ("birthdate", "31.05.90"),
        ("birthdate", "1990-02-30"),
        ("birthdate", "0000-00-00"),
        ("birthdate", "33024"),
        ("gender", "x"),
        ("gender", "40000"),
        ("allow_sms", "maybe"),
        ("allow_email", "2"),
        ("allow_email_online_cheque", "-"),
        ("name", "a\0b"),
        ("requested_by", ""),
    ],
)
def test_an_ambiguous_cell_is_refused(column: str, cell: str) -> None:
    assert "expected" in unfit(column, cell)


@pytest.mark.parametrize("column", ["phone", "allow_sms", "gender", "birthdate", "requested_by"])
@pytest.mark.parametrize("cell", ["NULL", "nan", "None", "NaT", "<NA>", r"\N", "#Н/Д", "#REF!"])
def test_a_word_for_no_value_is_not_an_empty_cell(column: str, cell: str) -> None:
    assert "a word for no value" in unfit(column, cell)


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("name", "  Оля ", "Оля"),
        ("name", '="О""Нил"', 'О"Нил'),
        ("surname", "'т Хоофт", "'т Хоофт"),
        ("contragent_id", "007", "007"),
        ("contragent_id", '="007"', "007"),
        ("contragent_id", "'007", "007"),
        ("name", '=""', None),
        ("requested_by", " crm\u00a0", "crm"),
    ],
)
def test_what_excel_and_people_put_around_a_text_is_removed(
    column: str, cell: str, value: Any
) -> None:
    assert read_cell(column, cell) == value
