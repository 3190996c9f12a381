"""CSV files of profile updates: what is read, and how a file is refused."""

from datetime import date
from pathlib import Path

import pytest

from lcm_pipeline.model.profiles import CLIENT_ID, COLUMNS, REQUESTED_BY
from lcm_pipeline.push.csv_file import UpdateFileError, read_updates


def test_the_page_names_every_column_that_a_file_may_have() -> None:
    page = Path("docs/how-to/write-back.md").read_text("utf-8")
    for column in (CLIENT_ID, *COLUMNS, REQUESTED_BY):
        assert f"`{column}`" in page, column


def refused(text: str | bytes) -> str:
    with pytest.raises(UpdateFileError) as caught:
        read_updates(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_file_of_a_spreadsheet_is_read(separator: str, encoding: str, ending: str) -> None:
    lines = [["client_id", "name", "birthdate", "phone"], ["7", "Анна", "31.05.1990", "9000000001"]]
    text = ending.join(separator.join(cells) for cells in lines) + ending
    file = read_updates(text.encode(encoding))
    assert file.columns == ("client_id", "name", "birthdate", "phone")
    assert [row.cells for row in file.rows] == [(7, "Анна", date(1990, 5, 31), 9000000001)]


def test_an_empty_cell_leaves_the_field_as_it_is() -> None:
    file = read_updates(b'client_id,name,allow_sms,gender,birthdate,phone,email\n7,,"",,,,\n')
    assert file.rows[0].cells == (7, None, None, None, None, None, None)


def test_empty_lines_are_skipped_but_counted() -> None:
    file = read_updates("client_id,name\n\n7,Анна\n,\n8,Иван\n".encode())
    assert [(row.line, row.cells[0]) for row in file.rows] == [(3, 7), (5, 8)]


def test_words_that_other_programs_read_as_no_value_are_text() -> None:
    file = read_updates(b"client_id,name,surname\n7,NA,null\n8,None,nan\n")
    assert [row.cells[1:] for row in file.rows] == [("NA", "null"), ("None", "nan")]


def test_leading_zeros_and_inner_separators_stay() -> None:
    file = read_updates(b'client_id,contragent_id,surname\n7,007,"a, b"\n')
    assert file.rows[0].cells == (7, "007", "a, b")


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nclient_id;name\r\n7;Анна\r\n",
        '"sep=;"\nclient_id;name\n7;Анна\n',
        "\nSEP=;\n\nclient_id;name\n7;Анна\n",
        "sep=|\nclient_id|name\n7|Анна\n",
        "sep=\t\nclient_id\tname\n7\tАнна\n",
        "\n\r\n  \n;;\nclient_id;name\n7;Анна\n",
        "client_id;name;;\n7;Анна;;\n;;;\n",
        "client_id;name;;\n7;Анна\n",
        "client_id;name\n7;Анна;;\n",
        "client_id;;name\n7;;Анна\n",
        " Client_ID\u00a0;\u00a0NAME \n7;Анна\n",
        'client id;"Name\n"\n7;Анна\n',
        "\ufeff\ufeffclient_id;name\n7;Анна\n",
        'client_id; "name"\n"7"; "Анна"\n',
        "client_id,name\n7,Анна",
    ],
)
def test_what_excel_and_people_put_around_the_rows_is_skipped(text: str) -> None:
    file = read_updates(text.encode())
    assert file.columns == ("client_id", "name")
    assert [row.cells for row in file.rows] == [(7, "Анна")]


def test_line_numbers_include_skipped_lines() -> None:
    file = read_updates("sep=;\n\nclient_id;name\n7;Анна\n\n8;Ольга\n9;x\n".encode())
    assert [row.line for row in file.rows] == [4, 6, 7]
    assert "line 5:" in refused("\nclient_id,name\n7,Анна\n\n8\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("client_id,surname,name\n7,Иванова,Анна\n8,Петр", 3),
        ("client_id,surname,name\n7,Иванова,Анна\n8,Петров\n9,Котов,Пётр\n", 3),
        ("client_id,name\n7,Анна\n8\n", 3),
        ("client_id,name\n7,Анна,Мария\n", 2),
        ("client_id,name\n7,Анна\n8,,Ольга\n", 3),
        ("client_id;name;;\n7;Анна;Мария;\n", 2),
        (",client_id,name\n0,7,Анна\n", 2),
    ],
)
def test_a_row_that_does_not_line_up_with_the_header_refuses_the_file(text: str, line: int) -> None:
    message = refused(text)
    assert f"line {line}:" in message
    assert not [name for name in ("Анна", "Петр", "Мария") if name in message]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('client_id,name,requested_by\n7,Анна,"crm\n8,Оля,"crm\n9,Ира,crm\n', 2),
        ('client_id,name,requested_by\n7,Анна,"crm\n8,Оля,crm"\n9,Ира,crm\n', 2),
        ('client_id,name,requested_by\n7,Анна,crm\n\n8,"Оля,crm\n9,Ира",crm\n', 4),
        ('client_id,name\n7,Анна\n8,"Оля\n9,Ира\n', 3),
        ('client_id,name\n7,"Анна\r8,Оля"\r', 2),
        ('client_id,name\n7,"Анна', 2),
        ('client_id,name\n7,"Анна"а\n', 2),
        ('"client_id,name\n7,Анна\n', 1),
        ('client_id,name\n7,"' + "Анна,\n" * 30_000, 2),
    ],
)
def test_an_unbalanced_quotation_mark_refuses_the_file_with_its_line(text: str, line: int) -> None:
    message = refused(text)
    assert f"line {line}: a quotation mark" in message
    assert "Анна" not in message


def test_a_line_break_at_the_end_of_a_cell_is_stripped() -> None:
    file = read_updates('client_id,name,surname\n7,"Анна\n",Ким\n8,Ира,Ли\n'.encode())
    assert [(row.line, row.cells) for row in file.rows] == [(2, (7, "Анна", "Ким")),
                                                           (4, (8, "Ира", "Ли"))]  # fmt: skip


def test_spaces_of_every_kind_around_a_cell_are_stripped() -> None:
    file = read_updates('client_id,name,surname\n\u00a07 ,"  Оля ",Ким\u202f\u00a0\n'.encode())
    assert file.rows[0].cells == (7, "Оля", "Ким")


def test_an_empty_text_and_one_of_spaces_leave_the_field_as_it_is() -> None:
    file = read_updates('client_id,name,surname\n7,"  ",\u00a0\n8,=""\t,x\n'.encode())
    assert [row.cells[1:] for row in file.rows] == [(None, None), (None, "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("client_id,name\n", "no rows"),
        ("client_id,name\n,\n", "no rows"),
        ("name\nАнна\n", "client_id is missing"),
        ("client_id,name,Имя,foo\n7,a,b,c\n", "unknown columns: 'Имя', 'foo'"),
        ("client_id,name,Name\n7,a,b\n", "named twice: name"),
        ("client_id,name,name\n7,a,b\n", "named twice: name"),
        ("client_id\n7\n", "no column to update"),
        ("client_id,requested_by\n7,me\n", "no column to update"),
        (";;\n\nsep=;\n", "empty"),
        ("sep=;\nИванова;Анна\n", "line 2 is not a header"),
    ],
)
def test_an_invalid_file_is_refused(text: str, message: str) -> None:
    assert message in refused(text)


def test_an_unreadable_cell_rejects_only_its_row() -> None:
    file = read_updates(
        "client_id,name,phone,allow_sms,requested_by\n"
        "6,Анна,9000000001,да,crm\n7,Ольга,9.00E+09,maybe,crm\nx,Ира,,нет,\n9,Инна,,,crm\n".encode()
    )
    assert [row.cells for row in file.rows] == [
        (6, "Анна", 9000000001, True, "crm"),
        (7, "Ольга", None, None, "crm"),
        (None, "Ира", None, False, None),
        (9, "Инна", None, None, "crm"),
    ]
    assert [(row.line, [one.column for one in row.errors]) for row in file.rejected_rows] == [
        (3, ["phone", "allow_sms"]),
        (4, ["client_id", "requested_by"]),
    ]
    assert [file.client_of(row) for row in file.rejected_rows] == [7, None]


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16-le"])
def test_another_encoding_is_refused_with_advice(encoding: str) -> None:
    message = refused("client_id,name\n7,Анна\n".encode(encoding))
    assert "save it as 'CSV UTF-8'" in message or "not a header" in message


def test_a_file_that_ends_within_a_character_is_cut_off() -> None:
    assert "cut off" in refused("client_id,name\n7,Анна".encode()[:-1])
    assert "cut off" in refused("client_id,name\n7,Анна".encode("utf-16")[:-1])


def test_a_file_without_header_is_refused_without_quoting_it() -> None:
    message = refused("7,Анна,9000000001\n8,Иван,9000000002\n")
    assert "not a header" in message
    assert "Анна" not in message
    assert "9000000001" not in message


def test_the_same_bytes_have_the_same_digest() -> None:
    one, other = b"client_id,name\n7,a\n", b"client_id,name\n7,b\n"
    assert read_updates(one).digest == read_updates(one).digest != read_updates(other).digest
