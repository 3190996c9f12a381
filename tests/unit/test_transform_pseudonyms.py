"""Masking of numbers in stored texts, and the hashes of phones and cards."""

import json

import pytest

from lcm_pipeline.model.pseudonyms import LARGEST_HASH, Pseudonyms
from lcm_pipeline.settings import SettingsError, load_settings
from lcm_pipeline.transform.pseudonyms import mask_extra, mask_numbers

OLD, NEW = b"a key of sixteen bytes", b"another key of sixteen bytes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"Phone":79165551234}', '{"Phone":[number]}'),
        ('{"Tel":"+7 (916) 555-12-34"}', '{"Tel":"[number]"}'),
        ('{"Card":2200701}', '{"Card":[number]}'),
        (r'{"Tel":"\u0037\u0039\u0031\u0036555123\u0034"}', '{"Tel":"[number]"}'),
        ('{"Proctime":"2026-03-01T10:00:00","Pos":12}', None),
        ('{"Day":"2026-03-01 10:00:00","Amount":1050.50}', None),
    ],
)
def test_phone_and_card_numbers_are_masked_in_a_text(text: str, expected: str | None) -> None:
    assert mask_numbers(text) == (text if expected is None else expected)


def test_unknown_fields_stay_json_with_their_other_values() -> None:
    given = '{"a":{"Mobile":79165551234,"b":["+7 916 555-12-34",1.10,null,true]},"n":12}'
    masked = mask_extra(given)
    assert json.loads(masked) == {
        "a": {"Mobile": "[number]", "b": ["[number]", 1.1, None, True]},
        "n": 12,
    }
    assert "1.10" in masked
    assert mask_extra('{"n":12,"t":"text"}') == '{"n":12,"t":"text"}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"n":' + "7" * 5000 + "}", '{"n":"[number]"}'),
        ("[" * 900 + "79165551234" + "]" * 900, "[" * 900 + '"[number]"' + "]" * 900),
        (r'{"Tel":"\u0039\u0031\u0036\u0035\u0035\u0035\u0031"}', '{"Tel":"[number]"}'),
        (r'{"a\"b":"say \"79165551234\""}', r'{"a\"b":"say \"[number]\""}'),
        ('{"79165551234": 1.5e3, "t" : "1"}', '{"79165551234": 1.5e3, "t" : "1"}'),
    ],
)
def test_any_unknown_field_can_be_masked(given: str, expected: str) -> None:
    assert mask_extra(given) == expected


def test_hashes_differ_from_numbers_and_those_of_phones_from_those_of_cards() -> None:
    key = Pseudonyms((OLD,))
    phone, card = key.phone(79165551234), key.card(79165551234)
    assert phone is not None
    assert card is not None
    assert max(phone, card) <= LARGEST_HASH
    assert min(phone, card) >= -(2**63)
    assert phone != card
    assert key.phone(None) is None
    assert Pseudonyms().phone(79165551234) == 79165551234
    assert str(OLD) not in repr(key)


def test_an_added_key_hashes_the_hashes_of_the_previous_one() -> None:
    both = Pseudonyms((OLD, NEW))
    assert both.only(2).phone(both.only(1).phone(1)) == both.phone(1)
    assert both.only(2).digest(both.only(1).digest(b"x" * 16)) == both.digest(b"x" * 16)


@pytest.mark.parametrize(
    "fields",
    [
        {"pseudonym_key": "k" * 16, "pseudonym_old_keys": "short"},
        {"pseudonym_key": "k" * 16, "pseudonym_old_keys": "k" * 16},
        {"pseudonym_key": "a,key with a comma"},
    ],
)
def test_keys_that_form_no_chain_are_refused_without_being_quoted(
    fields: dict[str, str],
) -> None:
    with pytest.raises(SettingsError, match="LCM_PSEUDONYM") as refused:
        load_settings(**fields)
    assert not [value for value in fields.values() if value in str(refused.value)]
