"""Error messages: what is scrubbed and what stays, and what they say of our credentials."""

import pytest

from lcm_pipeline.api.errors import BusinessError, refused_credential
from lcm_pipeline.api.scrubbing import scrub


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("тел. +7 (900) 123-45-67 занят", "тел. [number] занят"),
        ("Карта 123456789012345678 не найдена", "Карта [number] не найдена"),
        ("Почта anna.p@example.ru занята", "Почта [e-mail] занята"),
        ("Bearer eyJhbGciOi.eyJ0b2tlbiI6.x is wrong", "[token] is wrong"),
        ("key eyJhbGciOiJIUzI1NiJ9 rejected", "key [token] rejected"),
        ("Клиент Иванов не найден", "Клиент [name] не найден"),
        ("Участник Петрова-Водкина Анна отключён", "Участник [name] [name] отключён"),
        ("Иванов Иван Иванович уже есть", "[name] [name] [name] уже есть"),
        ("Клиент ИВАНОВ ИВАН не найден", "Клиент [name] [name] не найден"),
        ("Клиент «Анна» уже есть", "Клиент «[name]» уже есть"),
        ("Timeout expired. The timeout period elapsed", None),
        ("Transaction (Process ID 55) was deadlocked", None),
        ("Ошибка 2627 в процедуре", None),
        ("two\r\nlines\x00", "two lines"),
        ("Клиент иванов иван не найден", "Клиент [name] [name] не найден"),
        ("участник петрова-водкина анна отключена", "участник [name] [name] отключена"),
        ("Customer john smith not found", "Customer [name] [name] not found"),
        ("Card of Ivan Petrov is blocked", "Card of [name] [name] is blocked"),
        ("name=Anna", "name=[name]"),
        ("ФИО: сидоров пётр", "ФИО: [name] [name]"),
        ("тел. 8/903/123-45-67", "тел. [number]"),
        ("тел. 8_903_123_45_67 занят", "тел. [number] занят"),
        ("тел. 8 – 903 – 123·45·67", "тел. [number]"),
        ("Участник не найден", None),
        ("Клиент уже существует", None),
        ("Client is not found", None),
        ("Object reference not set to an instance of an object.", None),
        ("Internal Server Error", None),
        ("Login failed for user 'sa'", None),
    ],
)
def test_personal_data_is_removed_and_the_rest_stays(text: str, kept: str | None) -> None:
    assert scrub(text) == (text if kept is None else kept)


def test_a_long_text_is_cut() -> None:
    assert len(scrub("слово " * 10_000)) <= 160


@pytest.mark.parametrize(
    ("response", "setting"),
    [
        ("ErrorCode 2 «Токен не найден или устарел»", "LCM_TOKEN"),
        ("ErrorCode 9 «Invalid token»", "LCM_TOKEN"),
        ("ErrorCode 4 «Оператор заблокирован»", "LCM_OPERATOR"),
        ("ErrorCode 4 «Unknown operator»", "LCM_OPERATOR"),
        ("ErrorCode 4 «Клиент не найден»", None),
        ("ErrorCode 9", None),
        ("HTTP 401", None),
    ],
)
def test_a_refused_credential_is_recognized_by_the_words_of_the_response(
    response: str, setting: str | None
) -> None:
    """Its advice names other settings, and an error of a run quotes it."""
    error = BusinessError(response, code=9)
    error.call_name = "LeadsPagingInfo of client 1"
    refused = refused_credential(f"leads: {error}; correct LCM_TOKEN, or LCM_OPERATOR")
    assert refused == (None if setting is None else (setting, response))
