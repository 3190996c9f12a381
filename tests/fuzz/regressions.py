"""Mutants that once stopped a sync, affected another client or were accepted, each with a name."""

from typing import NamedTuple

from tests.fuzz.mutations import Mutant, Mutation

OPERATIONS, LEADS = "OperationHistory", "LeadsPagingInfo"
FAVOURITES, DAYS = "ClientFavoriteDataInfo", "ClientInfoPeriod"
LOGIN, UPDATE = "ManagerLogin", "ClientUpdate"
_SMUGGLED = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\r\n"
    '{"Client":1,"Rows":0,"TotalRows":0,"Operations":[],"LeadsClients":[],"ErrorCode":0}'
)
_CYRILLIC_REASON = "cef8e8e1eae0"


class Regression(NamedTuple):
    """A former bug, and the response that triggered it."""

    name: str
    mutant: Mutant

    def __str__(self) -> str:
        return self.name


def _bug(
    name: str,
    endpoint: str,
    *mutations: Mutation,
    source: str = "answer",
    form: str = "json",
    when: str = "always",
    goods: bool = False,
) -> Regression:
    return Regression(name, Mutant(endpoint, mutations, source, form, when, goods))


REGRESSIONS = [
    *(
        _bug(f"HTTP {status} for one client stopped the feed", OPERATIONS, ("status", status, ""))
        for status in (301, 303, 400, 403, 404, 405, 409, 413, 423, 425)
    ),
    _bug("a redirect for one client stopped the feed", LEADS, ("status", 308, "4f4b"),
         ("header", "Location", "http://127.0.0.1:9/elsewhere")),
    _bug("a reason phrase in cp1251", LEADS, ("status", 500, _CYRILLIC_REASON)),
    _bug("a reason phrase of no charset", FAVOURITES, ("status", 505, "80ff")),
    _bug("a reason phrase in cp1251 of a good response", OPERATIONS,
         ("status", 200, _CYRILLIC_REASON)),
    _bug("nesting of 1,200 in a member that is known", OPERATIONS,
         ("double", ("", "Client"), ("nest", "[", 1_200))),
    _bug("nesting of 100,000", LEADS, ("set", ("", "Message"), ("nest", "{", 100_000))),
    _bug("charset=undefined", LEADS, ("type", "application/json; charset=undefined")),
    _bug("charset=idna", OPERATIONS, ("type", "application/json; charset=idna")),
    _bug("a parameter after the charset", OPERATIONS,
         ("type", "application/json; charset=utf-8; odata=verbose")),
    _bug("UTF-8 that is called cp1251", OPERATIONS,
         ("type", "application/json; charset=windows-1251")),
    _bug("x-gzip", LEADS, ("coding", "x-gzip", "gzip")),
    _bug("gzip of two members", FAVOURITES, ("coding", "gzip", "members")),
    _bug("x-gzip of two members, XML", OPERATIONS, ("coding", "x-gzip", "members"), form="xml"),
    _bug("the response of another client", OPERATIONS, source="other"),
    _bug("the response of another client, XML", OPERATIONS, source="other", form="xml"),
    _bug("the response of another client, once", OPERATIONS, source="other", when="first"),
    _bug("another client with a plus sign, XML", OPERATIONS,
         ("set", ("", "Client"), ("json", "+1")), source="other", form="xml"),
    _bug("another client with leading zeros, XML", OPERATIONS,
         ("set", ("", "Client"), ("str", "0001")), source="other", form="xml"),
    _bug("an Id with an exponent, XML", FAVOURITES,
         ("set", ("ClientFavorites", 0, "Id"), ("str", "1e3")), form="xml"),
    _bug("a control character behind a byte order mark, XML", OPERATIONS,
         ("encode", "utf-8-sig"),
         ("set", ("Operations", 0, "BonusSource"), ("str", "\x1f")), form="xml"),
    _bug("no list of rows", OPERATIONS, ("rows", "Operations", None)),
    _bug("no list of rows, XML", LEADS, ("rows", "LeadsClients", None), form="xml"),
    _bug("a list that is a text, XML", FAVOURITES,
         ("rows", "ClientFavorites", ("str", "-2026-03-05T10:00:00")), form="xml"),
    _bug("a list that is a number", FAVOURITES, ("rows", "ClientFavorites", ("json", "7"))),
    _bug("offers that are a number next to goods", FAVOURITES,
         ("rows", "ClientFavorites", ("json", "7")), goods=True),
    _bug("offers that are a text next to goods", FAVOURITES,
         ("rows", "ClientFavorites", ("str", "")), goods=True),
    _bug("no rows and no total", FAVOURITES, ("drop", ("", "TotalRows")),
         ("set", ("", "ClientFavorites"), ("json", "[]"))),
    _bug("a Leads response to a call for operations", OPERATIONS,
         ("whole", ("tree", {"TotalRows": 0, "TotalRowsSelect": 0, "LeadsClients": [],
                             "ErrorCode": 0, "Message": ""}))),
    _bug("ErrorCode 0 and nothing else", LEADS, ("whole", ("tree", {"ErrorCode": 0}))),
    _bug("no Phone", OPERATIONS, ("drop", ("", "Phone"))),
    _bug("no Phone, XML", OPERATIONS, ("rename", ("", "Phone"), ("str", "P")), form="xml"),
    _bug("an empty Phone", OPERATIONS, ("set", ("", "Phone"), ("str", ""))),
    _bug("a lone surrogate in one row", LEADS,
         ("set", ("LeadsClients", 0, "Subject"), ("str", "\ud800"))),
    _bug("a control character in one row", LEADS,
         ("set", ("LeadsClients", 0, "Subject"), ("raw", "\x01"))),
    _bug("a reference to a control character in one row, XML", LEADS,
         ("set", ("LeadsClients", 0, "Subject"), ("str", "\x01")), form="xml"),
    _bug("NaN in a member that is unknown", LEADS,
         ("add", ("LeadsClients", 0, "Id"), ("str", "Level"), ("json", "NaN"))),
    _bug("a row that was bad at first and good when read again", LEADS,
         ("add", ("LeadsClients", 0, "Id"), ("str", "Level"), ("json", "NaN")), when="first"),
    _bug("rows three times, one of them bad", FAVOURITES,
         ("set", ("ClientFavorites", 0, "ProcTimeConfirm"), ("json", "-28013")),
         ("repeat", "ClientFavorites", 3)),
    _bug("a member twice with different values", OPERATIONS,
         ("double", ("Operations", 0, "Remain"), ("json", "7"))),
    _bug("a name of 9,000 characters", OPERATIONS,
         ("add", ("Operations", 0, "Id"), ("noise", 3, 9_000), ("json", "1"))),
    _bug("markup in an unknown name", LEADS,
         ("add", ("LeadsClients", 0, "Id"), ("str", "[/bold]x"), ("json", "1"))),
    _bug("an operation of 1753", OPERATIONS,
         ("set", ("Operations", 0, "Proctime"), ("str", "1753-01-01T00:00:00"))),
    _bug("an operation of 1900", OPERATIONS,
         ("set", ("Operations", 0, "Proctime"), ("str", "1900-01-01T00:00:00"))),
    _bug("an operation of 9999", OPERATIONS,
         ("set", ("Operations", 0, "Proctime"), ("str", "9999-12-31T23:59:59.9999999"))),
    _bug("a name of 12 kB", LEADS,
         ("set", ("LeadsClients", 0, "LeadTypeName"), ("noise", 1, 12_000))),
    _bug("a name of 12 kB of a shop", OPERATIONS,
         ("set", ("Operations", 0, "PosName"), ("noise", 1, 12_000))),
    _bug("a total of 2^31", OPERATIONS, ("set", ("", "Rows"), ("json", "2147483647"))),
    _bug("a total of 2^31, leads", LEADS, ("total", 2**31 - 10)),
    _bug("60,000 words in a Message", LEADS, ("set", ("", "ErrorCode"), ("json", "10")),
         ("set", ("", "Message"), ("repeat", "Иванов ", 60_000))),
    _bug("a Retry-After that overflows", OPERATIONS, ("status", 503, ""),
         ("header", "Retry-After", "Fri, 31 Dec 9999 23:59:59 -2359")),
    _bug("a Retry-After of 20 digits", LEADS, ("status", 429, ""),
         ("header", "Retry-After", "99999999999999999999")),
    _bug("a gzip bomb", FAVOURITES, ("coding", "gzip", "bomb")),
    _bug("a second response behind the first", OPERATIONS, ("extra", _SMUGGLED)),
    _bug("an empty number in the header of favourites", FAVOURITES,
         ("set", ("", "SumGain"), ("str", "")), ("set", ("", "ListFavorites"), ("json", "null"))),
    _bug("an empty number in the header of goods, XML", FAVOURITES,
         ("set", ("", "SumGain"), ("str", "")), form="xml", goods=True),
    _bug("an empty Phone and a body cut off", OPERATIONS, ("set", ("", "Phone"), ("str", "")),
         ("cut", 0.9, False)),
    _bug("HTTP 413 for one day stopped the roster", DAYS, ("status", 413, "")),
    _bug("a day without a list", DAYS, ("rows", "Clients", None)),
    _bug("a day whose list is a number", DAYS, ("rows", "Clients", ("json", ".5")), form="xml"),
    _bug("a day that is a call", DAYS, ("wrap", "callback(", ")"), form="xml"),
    _bug("a lone surrogate in one registration", DAYS,
         ("set", ("Clients", 0, "RegPosName"), ("str", "\ud800"))),
    _bug("a control character in one registration", DAYS,
         ("set", ("Clients", 0, "RegPosName"), ("raw", "\x0b"))),
    _bug("charset=undefined of a day", DAYS, ("type", "application/json; charset=undefined")),
    _bug("HTTP 404 for one update stopped the push", UPDATE, ("status", 404, "4f4b")),
    _bug("HTTP 405 for one update stopped the push", UPDATE, ("status", 405, "")),
    _bug("a line break in the token", LOGIN,
         ("set", ("", "access_token"), ("str", "a\r\nX-Smuggled: 1"))),
    _bug("nesting of 100,000 in a login", LOGIN, ("whole", ("nest", "[", 100_000))),
    _bug("a login that never expires", LOGIN,
         ("set", ("", "access_token"), ("jwt", '{"token":777,"exp":1e400}'))),
]  # fmt: skip
