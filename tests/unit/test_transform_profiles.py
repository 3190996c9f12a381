"""Which values of a profile update are sent, and which never are."""

from datetime import date
from typing import Any

import pytest

from lcm_pipeline.model.payloads import SetClientUpdateRequest
from lcm_pipeline.model.profiles import PROFILE_FIELDS, FieldError, KnownProfile, ProfileUpdate
from lcm_pipeline.transform.profiles import ValidatedUpdate, to_request, validate_update

TODAY = date(2026, 3, 31)


def validated(
    known: KnownProfile | None = None, *, knows: bool = True, **values: Any
) -> ValidatedUpdate:
    return validate_update(ProfileUpdate(1, 7, values, knows), known or KnownProfile(), TODAY)


def test_the_fields_are_those_of_the_request() -> None:
    names = {*SetClientUpdateRequest.__struct_fields__}
    assert {one.vendor for one in PROFILE_FIELDS} == names - {
        "Operator", "Token", "SiteCode", "Client"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("phone", 89123456789, "not 10 digits"),
        ("phone", 8123456789, "not 10 digits"),
        ("phone", -9123456789, "not 10 digits"),
        ("name", "Я" * 21, "longer than 20"),
        ("name", "😀" * 11, "longer than 20"),
        ("surname", "a" * 21, "longer than 20"),
        ("patronymic", "a" * 21, "longer than 20"),
        ("name", "", "would clear"),
        ("contragent_id", "  ", "would clear"),
        ("name", "Ан\nна", "control character"),
        ("email", "a" * 39 + "@example.org", "longer than 50"),
        ("email", "anna", "not shaped like"),
        ("email", "anna@", "not shaped like"),
        ("email", "anna@example", "not shaped like"),
        ("email", "an na@example.org", "not shaped like"),
        ("email", "anna@example.org, b@example.org", "not shaped like"),
        ("email", "mailto:anna@example.org", "not shaped like"),
        ("email", "'anna@example.org", "not shaped like"),
        ("email", "аnna@example.org", "two alphabets"),
        ("name", "РђРЅРЅР°", "lost in a conversion"),
        ("surname", "Р\u0098РІР°РЅРѕРІР°"[:20], "lost in a conversion"),
        ("name", "Ð\x90Ð½Ð½Ð°", "lost in a conversion"),
        ("name", "0", "a number"),
        ("patronymic", "9001234567", "a number"),
        ("gender", 2, "not -1, 0 or 1"),
        ("birthdate", "2026-04-01", "not from 1900-01-01 to today"),
        ("birthdate", "1899-12-31", "not from 1900-01-01 to today"),
        ("birthdate", "infinity", "not from 1900-01-01 to today"),
        ("birthdate", "20000-01-01", "not from 1900-01-01 to today"),
    ],
)
def test_a_value_that_the_server_would_cut_or_ignore_is_an_objection(
    column: str, value: Any, reason: str
) -> None:
    found = validated(**{column: value})
    assert not found.values
    (error,) = found.errors
    assert error.column == column
    assert reason in str(error)
    assert str(value).strip() == "" or str(value) not in str(error).split()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("phone", 9000000000),
        ("phone", 9999999999),
        ("name", "Я" * 20),
        ("email", "a" * 38 + "@example.org"),
        ("email", "анна@почта.рф"),
        ("email", "o'neil@example.org"),
        ("email", "info@почта.com"),
        ("email", "анна17@example.org"),
        ("name", "Сё"),
        ("name", "Анна-Мария Ё."),
        ("gender", -1),
        ("birthdate", "1900-01-01"),
        ("birthdate", "2026-03-31"),
        ("allow_sms", False),
        ("contragent_id", "00-17"),
    ],
)
def test_a_value_that_the_server_keeps_is_sent(column: str, value: Any) -> None:
    found = validated(**{column: value})
    assert (found.errors, found.values) == ((), {column: value})


@pytest.mark.parametrize("column", ["name", "surname", "email", "contragent_id", "pos_code"])
@pytest.mark.parametrize(
    "word",
    [
        "#Н/Д", "#н/д", "#N/A", "#n/a", "#REF!", "#ССЫЛКА!", "#ЗНАЧ!", "#VALUE!", "#ДЕЛ/0!",
        "#DIV/0!", "#ИМЯ?", "#NAME?", "#ПУСТО!", "#NULL!", "#ЧИСЛО!", "#NUM!", "#SPILL!",
        "#ПЕРЕНОС!", "####", "#NV", "Err:502", "NULL", "null", "Null", "nan", "NaN", "NAN", "-nan",
        "None", "NONE", "NaT", "<NA>", "<na>", r"\N", "NA", "N/A", "(null)", "[NULL]", "undefined",
        " NULL ", "\u00a0#N/A\u202f", "nan\n",
    ],
)  # fmt: skip
def test_spreadsheet_errors_and_words_for_no_value_are_never_sent(column: str, word: str) -> None:
    others = {} if column == "name" else {"name": "Анна"}
    found = validated(**{column: word, **others})
    assert not found.values
    assert [one.column for one in found.errors] == [column]
    assert "a word for no value" in str(found.errors[0])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("name", "\ufffd\ufffd\ufffd", "lost in a conversion"),
        ("surname", "Сем\ufffdн", "lost in a conversion"),
        ("contragent_id", "a\ufffd", "lost in a conversion"),
        ("name", "ï¿½ï¿½", "lost in a conversion"),
        ("name", "пїЅпїЅ", "lost in a conversion"),
        ("name", "????", "lost in a conversion"),
        ("surname", "?? ???-??", "lost in a conversion"),
        ("pos_code", "??", "lost in a conversion"),
        ("name", "Сем?н", "question mark"),
        ("email", "????@????.??", "lost in a conversion"),
        ("email", "a?b@example.ru", "question mark"),
        ("email", "a@example.ru\u200b", "invisible"),
        ("email", "\ufeffa@example.ru", "invisible"),
        ("email", "a\u00ad@example.ru", "invisible"),
        ("email", "a@exa\u2060mple.ru", "invisible"),
        ("email", "\u202aa@example.ru\u202c", "invisible"),
        ("email", "a@example.ru\u3164", "invisible"),
        ("name", "Ан\u200bна", "invisible"),
        ("surname", "Ива\u00adнова", "invisible"),
        ("patronymic", "\u200eИльинична", "invisible"),
        ("contragent_id", "7\u200d", "invisible"),
        ("name", "Ан\u2028на", "control character"),
        ("name", "=A1", "formula"),
        ("contragent_id", "1001.0", "a fraction or an exponent"),
        ("pos_code", "1,23E+09", "a fraction or an exponent"),
    ],
)
def test_a_damaged_text_is_never_sent(column: str, value: str, reason: str) -> None:
    others = {} if column != "pos_code" else {"name": "Анна"}
    (error,) = validated(**{column: value}, **others).errors
    assert error.column == column
    assert reason in str(error)
    assert value not in str(error)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "Нан"), ("name", "Нона"), ("surname", "Нулин"), ("surname", "Nullmeyer"),
        ("surname", "Нет"), ("name", "Нат"), ("name", "Нана"), ("surname", "Na"), ("surname", "На"),
        ("name", "Анна-Мария"), ("name", "Анна Мария"), ("name", "Анна\u00a0Мария"),
        ("surname", "О'Нил"), ("surname", "Қасым"), ("patronymic", "-"), ("contragent_id", "#17"),
        ("contragent_id", "1e5"), ("contragent_id", "1.02"), ("email", "null@example.ru"),
    ],
)  # fmt: skip
def test_a_real_name_is_not_taken_for_a_word_for_no_value(column: str, value: str) -> None:
    found = validated(**{column: value})
    assert (found.errors, found.values) == ((), {column: value})


def test_spaces_around_a_text_are_stripped() -> None:
    sent = validated(name="  Оля ", surname="Ким\u00a0", email="\u2003a@example.ru\n").values
    assert sent == {"name": "Оля", "surname": "Ким", "email": "a@example.ru"}
    assert validated(name=" " * 9 + "Я" * 20 + " ").values == {"name": "Я" * 20}


def test_spaces_around_a_text_are_no_change() -> None:
    known = KnownProfile(last_sent={"name": "Оля", "surname": " Ким\u00a0"})
    found = validated(known, name=" Оля ", surname="Ким")
    assert (found.errors, found.values, found.unchanged) == ((), {}, ("name", "surname"))


def test_a_row_with_an_unreadable_cell_is_not_sent_and_all_objections_are_reported() -> None:
    unreadable = (FieldError("expected a phone", "phone"),)
    update = ProfileUpdate(1, 7, {"name": "Я" * 21, "surname": "Ким"}, unreadable=unreadable)
    found = validate_update(update, KnownProfile(), TODAY)
    assert not found.values
    assert [one.column for one in found.errors] == ["phone", "name"]
    alone = validate_update(ProfileUpdate(1, 7, {}, unreadable=unreadable), KnownProfile(), TODAY)
    assert alone.errors == unreadable


def test_every_objection_is_reported() -> None:
    found = validated(knows=False, name="", phone=1)
    assert [one.column for one in found.errors] == [None, "name", "phone"]


def test_gender_0_leaves_it_as_it_is() -> None:
    assert validated(gender=0, name="Анна").values == {"name": "Анна"}
    assert "no field" in str(validated(gender=0).errors[0])


def test_nothing_set_is_an_objection() -> None:
    assert "no field" in str(validated().errors[0])
    assert "no field" in str(validated(pos_code="7").errors[0])


def test_fields_equal_to_those_last_sent_are_left_out() -> None:
    known = KnownProfile(last_sent={"name": "Анна", "allow_sms": False}, before={"name": "Анна"})
    found = validated(known, name="Анна", allow_sms=True, gender=1)
    assert found.values == {"allow_sms": True, "gender": 1}
    assert found.unchanged == ("name",)


def test_an_update_that_changes_nothing_sends_nothing() -> None:
    known = KnownProfile(last_sent={"name": "Анна", "pos_code": "7"})
    found = validated(known, name="Анна", pos_code="7")
    assert (found.errors, found.values) == ((), {})


def test_the_point_of_sale_is_sent_with_the_changed_fields() -> None:
    known = KnownProfile(last_sent={"pos_code": "7"})
    assert validated(known, name="Анна", pos_code="7").values == {"name": "Анна", "pos_code": "7"}


def test_the_values_known_before_are_kept_for_an_undo() -> None:
    known = KnownProfile(last_sent={"name": "Анна"}, before={"name": "Анна", "phone": 9000000001})
    found = validated(known, name="Ольга", phone=9000000002, email="a@b.ru")
    assert found.before == {"name": "Анна", "phone": 9000000001}


def test_an_update_that_was_overtaken_is_not_sent() -> None:
    update = ProfileUpdate(1, 7, {"name": "Анна", "gender": 1}, True, frozenset({"name", "email"}))
    (error,) = validate_update(update, KnownProfile(), TODAY).errors
    assert str(error) == "name: a newer update of this field was sent before"


def test_the_request_uses_the_vendors_names() -> None:
    request = to_request(7, {"allow_email_online_cheque": False, "contragent_id": "x"})
    assert (request.Client, request.AllowEmailOnlineCheque, request.ContragentId) == (7, False, "x")
    assert request.Name is None
