"""CSV files of profile updates: what is read, and how a file is refused."""

from datetime import date

import pytest

from lcm_pipeline.transform.update_files import UpdateFileRefused, read_updates


def refused(text: str | bytes) -> str:
    with pytest.raises(UpdateFileRefused) as caught:
        read_updates(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_of_a_spreadsheet_is_read(separator: str, encoding: str, ending: str) -> None:
    lines = [["client_id", "name", "birthdate", "phone"], ["7", "Анна", "31.05.1990", "9000000001"]]
    text = ending.join(separator.join(cells) for cells in lines) + ending
    file = read_updates(text.encode(encoding))
    assert file.columns == ("client_id", "name", "birthdate", "phone")
    assert [row.cells for row in file.rows] == [(7, "Анна", date(1990, 5, 31), 9000000001)]


def test_an_empty_cell_leaves_the_field_as_it_is() -> None:
    file = read_updates(b'client_id,name,allow_sms,gender,birthdate,phone,email\n7,,"",,,,\n')
    assert file.rows[0].cells == (7, None, None, None, None, None, None)


def test_empty_lines_are_passed_over_and_counted() -> None:
    file = read_updates("client_id,name\n\n7,Анна\n,\n8,Иван\n".encode())
    assert [(row.line, row.cells[0]) for row in file.rows] == [(3, 7), (5, 8)]


def test_words_that_other_programmes_take_for_nothing_are_text() -> None:
    file = read_updates(b"client_id,name,surname\n7,NA,null\n8,None,nan\n")
    assert [row.cells[1:] for row in file.rows] == [("NA", "null"), ("None", "nan")]


def test_leading_zeros_and_inner_separators_stay() -> None:
    file = read_updates(b'client_id,contragent_id,surname\n7,007,"a, b"\n')
    assert file.rows[0].cells == (7, "007", "a, b")


@pytest.mark.parametrize(
    ("cell", "flag"),
    [
        ("true", True),
        ("FALSE", False),
        ("1", True),
        ("0", False),
        ("ИСТИНА", True),
        ("ложь", False),
    ],
)
def test_a_flag_is_read_as_spreadsheets_write_it(cell: str, flag: bool) -> None:
    assert read_updates(f"client_id,allow_sms\n7,{cell}\n".encode()).rows[0].cells[1] is flag


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("client_id,name\n", "no rows"),
        ("client_id,name\n,\n", "no rows"),
        ("name\nАнна\n", "client_id is missing"),
        ("client_id,name,Name,foo\n7,a,b,c\n", "unknown columns: 'Name', 'foo'"),
        ("client_id,name,name\n7,a,b\n", "named twice: name"),
        ("client_id\n7\n", "no column to update"),
        ("client_id,requested_by\n7,me\n", "no column to update"),
        ("client_id,name\n7,a\n8,b,c\n", "expected 2 fields in line 3, saw 3"),
        ('client_id,name\n7,"a\n', "never closed"),
        ("client_id,requested_by,name\n7,,a\n", "line 2, column requested_by"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("phone", "+7 (912) 345-67-89"),
        ("phone", "9123456789.0"),
        ("phone", "9,12E+09"),
        ("phone", "99999999999999999999"),
        ("birthdate", "05/31/1990"),
        ("birthdate", "1990-02-30"),
        ("gender", "ж"),
        ("gender", "40000"),
        ("allow_sms", "maybe"),
        ("allow_email", "2"),
        ("name", "a\0b"),
    ],
)
def test_a_cell_that_cannot_be_refuses_the_file_by_line_and_column(column: str, cell: str) -> None:
    said = refused(f'client_id,surname,{column}\n6,ok,\n7,ok,"{cell}"\n')
    assert f"line 3, column {column}: expected" in said
    assert cell not in said


@pytest.mark.parametrize("cell", ["", "x", "1.5", "9223372036854775808"])
def test_a_row_without_its_client_refuses_the_file(cell: str) -> None:
    assert "line 2, column client_id: expected" in refused(f"client_id,name\n{cell},a\n")


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16"])
def test_another_encoding_is_refused_with_the_way_out(encoding: str) -> None:
    assert "save it as 'CSV UTF-8'" in refused("client_id,name\n7,Анна\n".encode(encoding))


def test_a_file_without_header_is_refused_without_quoting_it() -> None:
    said = refused("7,Анна,9000000001\n8,Иван,9000000002\n")
    assert "no header" in said
    assert "Анна" not in said
    assert "9000000001" not in said


def test_the_same_bytes_have_the_same_digest() -> None:
    one, other = b"client_id,name\n7,a\n", b"client_id,name\n7,b\n"
    assert read_updates(one).digest == read_updates(one).digest != read_updates(other).digest
