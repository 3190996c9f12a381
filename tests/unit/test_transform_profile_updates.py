"""What of a profile update is sent, and what is never sent."""

from datetime import date
from typing import Any

import pytest

from lcm_pipeline.model.payloads import SetClientUpdateRequest
from lcm_pipeline.model.profiles import PROFILE_FIELDS, KnownProfile, ProfileUpdate
from lcm_pipeline.transform.profile_updates import Verdict, judge, to_request

TODAY = date(2026, 3, 31)


def verdict(known: KnownProfile | None = None, *, knows: bool = True, **values: Any) -> Verdict:
    return judge(ProfileUpdate(1, 7, values, knows), known or KnownProfile(), TODAY)


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
        ("name", "", "asks to clear"),
        ("contragent_id", "  ", "asks to clear"),
        ("name", "Ан\nна", "control character"),
        ("email", "a" * 39 + "@example.org", "longer than 50"),
        ("email", "anna", "not shaped like"),
        ("email", "anna@", "not shaped like"),
        ("email", "anna@example", "not shaped like"),
        ("email", "an na@example.org", "not shaped like"),
        ("email", "anna@example.org, b@example.org", "not shaped like"),
        ("gender", 2, "not -1, 0 or 1"),
        ("birthdate", "2026-04-01", "not from 1900-01-01 to today"),
        ("birthdate", "1899-12-31", "not from 1900-01-01 to today"),
        ("birthdate", "infinity", "not from 1900-01-01 to today"),
        ("birthdate", "20000-01-01", "not from 1900-01-01 to today"),
    ],
)
def test_what_the_server_would_cut_or_ignore_is_an_objection(
    column: str, value: Any, reason: str
) -> None:
    found = verdict(**{column: value})
    assert not found.values
    (objection,) = found.objections
    assert objection.column == column
    assert reason in str(objection)
    assert str(value).strip() == "" or str(value) not in str(objection).split()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("phone", 9000000000),
        ("phone", 9999999999),
        ("name", "Я" * 20),
        ("email", "a" * 38 + "@example.org"),
        ("email", "анна@почта.рф"),
        ("gender", -1),
        ("birthdate", "1900-01-01"),
        ("birthdate", "2026-03-31"),
        ("allow_sms", False),
        ("contragent_id", "00-17"),
    ],
)
def test_what_the_server_keeps_is_sent(column: str, value: Any) -> None:
    found = verdict(**{column: value})
    assert (found.objections, found.values) == ((), {column: value})


def test_every_objection_is_told() -> None:
    found = verdict(knows=False, name="", phone=1)
    assert [one.column for one in found.objections] == [None, "name", "phone"]


def test_gender_0_leaves_it_as_it_is() -> None:
    assert verdict(gender=0, name="Анна").values == {"name": "Анна"}
    assert "no field" in str(verdict(gender=0).objections[0])


def test_nothing_set_is_an_objection() -> None:
    assert "no field" in str(verdict().objections[0])
    assert "no field" in str(verdict(pos_code="7").objections[0])


def test_fields_equal_to_those_last_sent_are_left_out() -> None:
    known = KnownProfile(last_sent={"name": "Анна", "allow_sms": False}, before={"name": "Анна"})
    found = verdict(known, name="Анна", allow_sms=True, gender=1)
    assert found.values == {"allow_sms": True, "gender": 1}
    assert found.unchanged == ("name",)


def test_an_update_that_changes_nothing_sends_nothing() -> None:
    known = KnownProfile(last_sent={"name": "Анна", "pos_code": "7"})
    found = verdict(known, name="Анна", pos_code="7")
    assert (found.objections, found.values) == ((), {})


def test_the_point_of_sale_travels_with_what_it_asks_for() -> None:
    known = KnownProfile(last_sent={"pos_code": "7"})
    assert verdict(known, name="Анна", pos_code="7").values == {"name": "Анна", "pos_code": "7"}


def test_what_was_known_before_is_kept_for_an_undo() -> None:
    known = KnownProfile(last_sent={"name": "Анна"}, before={"name": "Анна", "phone": 9000000001})
    found = verdict(known, name="Ольга", phone=9000000002, email="a@b.ru")
    assert found.before == {"name": "Анна", "phone": 9000000001}


def test_an_update_that_was_overtaken_is_not_sent() -> None:
    update = ProfileUpdate(1, 7, {"name": "Анна", "gender": 1}, True, frozenset({"name", "email"}))
    (objection,) = judge(update, KnownProfile(), TODAY).objections
    assert str(objection) == "name: a newer update of this field was sent before"


def test_the_request_carries_the_vendors_names() -> None:
    request = to_request(7, {"allow_email_online_cheque": False, "contragent_id": "x"})
    assert (request.Client, request.AllowEmailOnlineCheque, request.ContragentId) == (7, False, "x")
    assert request.Name is None
