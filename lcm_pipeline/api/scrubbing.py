"""Removes from the vendor's texts whatever may be a phone, card, token, e-mail or name.

These texts have no fixed format, so this is a heuristic: what looks like a name is removed, unless
it is a word of the service, .NET, SQL Server or a proxy.
"""

import re
from collections.abc import Callable

# All quantifiers are possessive or bounded, as these expressions run on whatever a server sends.
_NAME = r"[А-ЯЁ](?:[а-яё]++(?:-[А-ЯЁ][а-яё]++)?|[А-ЯЁ]{3,}+)"
_LATIN = r"[A-Z][a-z]{1,30}+"
# Words for a person. What follows them is a name, unless it is one of _NO_NAMES ("not found" ...).
_PERSON = (
    r"(?:клиент|участник|держател|пользовател|покупател|владел)[а-яё]{0,3}+|фамили[а-яё]{1,2}+"
    r"|отчеств[а-яё]{1,2}+|имя|имени|ф\.?и\.?о\.?"
    r"|client|customer|member|cardholder|holder|(?:first |last |full |first_|last_)?name"
)
_NO_NAMES = (
    r"не|ни|уже|ещё|еще|с|со|без|по|на|в|во|для|и|или|из|от|к|у|о|об|за|"
    r"был|была|было|были|есть|нет|может|должен|такой|этот|имеет|найден[а-яё]*|"
    r"существ[а-яё]*|зарегистр[а-яё]*|заблокир[а-яё]*|удал[а-яё]*|отключ[а-яё]*|"
    r"активн[а-яё]*|указан[а-яё]*|занят[а-яё]*|карт[а-яё]*|телефон[а-яё]*|почт[а-яё]*|"
    r"программ[а-яё]*|номер[а-яё]*|is|are|was|has|not|no|already|does|do|did|with|"
    r"without|of|for|in|on|by|and|or|id|ids|code|field|table|column|object|"
    r"type|must|cannot|exists?|found|blocked|deleted|unknown|invalid|expired|failed|"
    r"error|api|info"
)
_WORD = rf"(?!(?:{_NO_NAMES})\b)[^\W\d_][\w.-]{{1,40}}+"
# Words of .NET, SQL Server, HTTP and proxies that occur in capitalised pairs, as names do.
_TECHNICAL = (
    r"Internal|Server|Error|Bad|Gateway|Service|Unavailable|Request|Response|Not|"
    r"Found|Access|Denied|Forbidden|Process|Timeout|Object|Reference|Null|Index|Out|"
    r"Range|Invalid|Operation|Exception|System|Data|Client|Sql|Transaction|Network|"
    r"Path|Connection|Host|Time|Expired|Too|Many|Requests|Rerun|The|This|An|No|"
    r"Cannot|Could|Was|Moved|Permanently|Temporarily|Unauthorized|Conflict|Locked|"
    r"Method|Allowed|Proxy|Authentication|Required|Login|Failed|User|Violation|"
    r"Primary|Key|Unique|Constraint|Duplicate|Stored|Procedure|Line|String|Binary|"
    r"Arithmetic|Overflow|Conversion|Deadlock|Lock|Web|Application|Runtime|Microsoft|"
    r"Windows|Please|Try|Again"
)
_LATIN_NAME = rf"(?!(?:{_TECHNICAL})\b){_LATIN}"


def _mask_words(text: str) -> str:
    return " ".join(["[name]"] * len(text.split()))


_PERSONAL: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<![^\s@<>\"'])[^\s@<>\"']++@[^\s@<>\"']++"), "[e-mail]"),
    (re.compile(r"(?i)\bbearer\s++\S++"), "[token]"),
    (
        re.compile(r"(?<![\w.+/=-])(?=[\w.+/=-]*?\d)(?=[\w.+/=-]*?[A-Za-z])[\w.+/=-]{16,}+"),
        "[token]",
    ),
    (re.compile(r"\+?\d(?:[\W_]{0,3}\d){5,}"), "[number]"),
    # In Russian a capitalised word within a sentence is a name, and so is one right before a name.
    (re.compile(rf"(?<=[\w,«\"'(] ){_NAME}"), "[name]"),
    (
        re.compile(rf"\b(?!Клиент|Участни|Пользоват|Покупат|Карт|Телефон|Почт){_NAME} (?=\[name)"),
        "[name] ",
    ),
    (re.compile(rf"(?<=[«\"'(]){_NAME}"), "[name]"),
    (re.compile(r"\b[А-ЯЁ]\.\s?[А-ЯЁ]\."), "[name]"),
    (re.compile(rf"\b{_LATIN_NAME}(?:[ -]{_LATIN_NAME})+"), lambda found: _mask_words(found[0])),
    # After a word for a person, in any alphabet and case.
    (
        re.compile(rf"(?i)\b((?:{_PERSON})\s*+[:=«\"'(]*+\s*+)({_WORD}(?:\s{_WORD}){{0,2}})"),
        lambda found: found[1] + _mask_words(found[2]),
    ),
    # Characters that control a terminal or cannot be printed.
    (
        re.compile(
            "[\\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]++"
        ),
        " ",
    ),
)
_TEXT_LIMIT = 160
_MAX_TEXT_READ = 2_000


def scrub(text: str) -> str:
    """Return the vendor's text without what may be a phone, card, token, e-mail or name.

    It is cut to 160 characters.
    """
    text = text[:_MAX_TEXT_READ]
    for pattern, replacement in _PERSONAL:
        text = pattern.sub(replacement, text)
    return text.strip()[:_TEXT_LIMIT]
