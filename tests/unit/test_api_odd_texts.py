"""An unreadable text rejects only its row, in JSON and XML; and how text is decoded."""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple

import pytest

from lcm_pipeline.api.errors import BusinessError, LoyaltyApiError, MalformedError
from lcm_pipeline.api.paging import read_favourite_goods, read_page, read_registrations
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
)
from lcm_pipeline.model.json_split import SplitError, split_array, split_object
from lcm_pipeline.model.pages import Page, PageRequest
from lcm_pipeline.model.payloads import SERVICE_ZONE
from lcm_pipeline.model.tasks import StagedRows
from lcm_pipeline.transform.favourites import transform_favourites
from lcm_pipeline.transform.leads import transform_leads
from lcm_pipeline.transform.operations import transform_operations
from lcm_pipeline.transform.registrations import transform_registrations
from lcm_pipeline.transform.values import LAST_DAY
from tests.unit.api_service import Response, Service, run
from tests.unit.transform_rows import client_rows

DAY = date(2026, 3, 1)
ZONE = SERVICE_ZONE
HALF = "holds half a surrogate pair"
CONTROL = "holds a control character"
NUL = "holds a NUL character"
XML = "application/xml; charset=utf-8"

# Text between quotes as a server might send it, and the reason for refusing its row.
BAD_JSON_TEXTS = [
    (rb"a\ud83d", HALF),
    (rb"\ude00a", HALF),
    (rb"\ude00\ud83d", HALF),
    (b"a\x0b", CONTROL),
    (b"a\nb", CONTROL),
    (b"\x00", CONTROL),
    (b"a\x1f\\u0041", CONTROL),
    (b"a\xff", "malformed JSON"),
    (b"\xed\xa0\xbd", "malformed JSON"),
    (rb"a\x41", "malformed JSON"),
    (rb"a\u12G4", "malformed JSON"),
]
BAD_XML_TEXTS = [
    (b"&#0;", NUL),
    (b"a&#x1F;&#0;", NUL),
    (b"a\x0bb", CONTROL),
    (b"<![CDATA[\x0b]]>", CONTROL),
    (b"a&#xD83D;", HALF),
    (b"a&#xDE00;&#xD83D;", HALF),
    (b"a&#x110000;", CONTROL),
    (b"a\xff", "malformed JSON"),
]


class Feed(NamedTuple):
    """An endpoint, the text field that is corrupted, and the function that lands its rows."""

    read: Callable[[Any], Any]
    transform: Callable[[Page], StagedRows]
    body: str
    row: str
    text: str
    table: str


def _xml_of(members: str) -> str:
    return "".join(
        f"<{name}>{value}</{name}>" for name, value in json.loads(members, parse_int=str).items()
    )


FEEDS = {
    "registrations": Feed(
        lambda api: read_registrations(api, datetime(2026, 3, 1), datetime(2026, 3, 2)),
        lambda page: transform_registrations(DAY, page.rows, ZONE, LAST_DAY),
        '{"Clients":[%s],"ErrorCode":0,"Message":null}',
        '{"Client":%s,"Card":%s,"RegDate":"2026-03-01T10:00:00"}',
        "Card_Type",
        "registrations",
    ),
    "operations": Feed(
        lambda api: read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 50)),
        lambda page: transform_operations(client_rows(page.rows, envelope=page.envelope)),
        '{"Client":7,"Phone":9000000007,"Rows":3,"Operations":[%s],"ErrorCode":0}',
        '{"Id":%s,"ChequeId":%s,"ComponentType":2,"Proctime":"2026-03-01T12:00:00"}',
        "PosName",
        "operations",
    ),
    "leads": Feed(
        lambda api: read_page(api, LEADS_PAGING_INFO, 7, PageRequest(1, 50)),
        lambda page: transform_leads(client_rows(page.rows)),
        '{"TotalRows":3,"LeadsClients":[%s],"ErrorCode":0}',
        '{"Leads":%s,"Id":%s,"ProcTime":"2026-03-01T12:00:00"}',
        "Subject",
        "leads",
    ),
    "favourites": Feed(
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 50)),
        lambda page: transform_favourites(client_rows(page.rows, snapshot_date=DAY)),
        '{"TotalRows":3,"ClientFavorites":[%s],"ErrorCode":0}',
        '{"Id":%s,"X":%s,"ProcTime":"2026-03-01T12:00:00"}',
        "ConfirmDateEnd",
        "favourite_offers",
    ),
    "goods": Feed(
        lambda api: _read_goods(api),
        lambda page: transform_favourites(
            client_rows((), details={4: page.rows}, snapshot_date=DAY)
        ),
        '{"TotalRows":1,"ClientFavorites":[],"ListFavorites":[%s],"ErrorCode":0}',
        '{"ListDataId":%s,"X":%s,"Id":4}',
        "Name",
        "favourite_goods",
    ),
}
every_feed = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)


async def _read_goods(api: Any) -> Page:
    return (await read_favourite_goods(api, 7, 4, PageRequest(1, 50))).page


def read_history(api: Any) -> Any:
    return read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 50))


def three_rows(feed: Feed, text: bytes) -> bytes:
    """A response with the text in its second row."""
    rows = [(feed.row % (n, n)).encode() for n in (1001, 1002, 1003)]
    rows[1] = rows[1][:-1] + b',"%s":"%s"}' % (feed.text.encode(), text)
    return feed.body.encode() % b",".join(rows)


def assert_second_row_is_quarantined(feed: Feed, page: Page, reason: str) -> StagedRows:
    staged = feed.transform(page)
    assert len(staged.records[feed.table]) == 2
    (bad,) = staged.bad_rows
    assert bad.table == feed.table
    assert bad.reason == f"{feed.text}: {reason}"
    assert "1002" in bad.raw
    return staged


@every_feed
@pytest.mark.parametrize(("text", "reason"), BAD_JSON_TEXTS)
def test_an_unreadable_json_text_rejects_only_its_row(feed: Feed, text: bytes, reason: str) -> None:
    service = Service(Response(three_rows(feed, text)))
    page = run(service, feed.read)
    assert_second_row_is_quarantined(feed, page, reason)
    assert len(service.requests) == 1
    # All three rows keep their keys, so that they are counted and recognized later.
    assert not any("?" in str(row.key) for row in page.rows)


@every_feed
@pytest.mark.parametrize(("text", "reason"), BAD_XML_TEXTS)
def test_an_unreadable_xml_text_rejects_only_its_row(feed: Feed, text: bytes, reason: str) -> None:
    rows = [_xml_of(feed.row % (n, n)).encode() for n in (1001, 1002, 1003)]
    rows[1] += b"<%s>%s</%s>" % (feed.text.encode(), text, feed.text.encode())
    skeleton = json.loads(feed.body % "")
    (name,) = (n for n, value in skeleton.items() if value == [] and f'"{n}":[%s]' in feed.body)
    listed = b"".join(b"<Row>%s</Row>" % row for row in rows)
    members = "".join(
        f"<{n}></{n}>" if value == [] else f"<{n}>{value}</{n}>"
        for n, value in skeleton.items()
        if n not in (name, "Message")
    )
    body = b"<R>%s<%s>%s</%s></R>" % (members.encode(), name.encode(), listed, name.encode())
    service = Service(Response(body, content_type=XML))
    assert_second_row_is_quarantined(feed, run(service, feed.read), reason)
    assert len(service.requests) == 1


def test_a_quarantined_registration_still_lands_its_client() -> None:
    feed = FEEDS["registrations"]
    page = run(Service(Response(three_rows(feed, rb"\ud83d"))), feed.read)
    staged = assert_second_row_is_quarantined(feed, page, HALF)
    assert [record[0] for record in staged.records["clients"]] == [1001, 1002, 1003]
    assert staged.bad_rows[0].client_id == 1002


def test_the_raw_text_in_quarantine_is_what_the_server_sent() -> None:
    feed = FEEDS["leads"]
    for text, kept in ((rb"a\ud83d", r'"a\ud83d"'), (b"a\x0b", '"a\x0b"'), (b"\xff", r'"\xff"')):
        staged = feed.transform(run(Service(Response(three_rows(feed, text))), feed.read))
        assert f'"Subject":{kept}' in staged.bad_rows[0].raw


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"-Infinity", b"01", b"1.", b"+5", b"True", b"None", b"undefined", b"'x'", b"[1,]",
     b"{'a':1}", b'"the "best" one"', b"[" * 90_000 + b"]" * 90_000,
     b'{"a":' * 30_000 + b"1" + b"}" * 30_000],
    ids=lambda value: value.decode()[:12],
)  # fmt: skip
def test_a_value_that_is_not_json_rejects_only_its_row(value: bytes) -> None:
    feed = FEEDS["operations"]
    body = three_rows(feed, b"x").replace(b'"PosName":"x"', b'"New":' + value)
    staged = feed.transform(run(Service(Response(body)), feed.read))
    assert [len(staged.records["operations"]), len(staged.bad_rows)] == [2, 1]


def test_a_surrogate_pair_is_one_character_in_both_formats() -> None:
    feed = FEEDS["leads"]
    rows = (
        b"<Row><Leads>1</Leads><ProcTime>2026-03-01T12:00:00</ProcTime><Subject>%s</Subject></Row>"
    )
    xml = b"<R><ErrorCode>0</ErrorCode><TotalRows>1</TotalRows><LeadsClients>%s</LeadsClients></R>"
    for response in (
        Response(three_rows(feed, rb"\ud83d\ude00")),
        Response(xml % (rows % b"&#xD83D;&#xDE00;"), content_type=XML),
    ):
        staged = feed.transform(run(Service(response), feed.read))
        assert staged.bad_rows == []
        assert "😀" in str(staged.records["leads"])


HEADER = {
    "ErrorCode": 0, "TotalRows": 0, "ClientFavorites": [], "SumGain": 5, "CountOffer": 3,
    "GroupFavorites": [{"Id": 1, "Name": "a"}, {"Id": 2, "Name": "@"}], "AvgAll": None,
}  # fmt: skip


@pytest.mark.parametrize("text", [rb"\ud83d", b"\x0b", rb"\x", b"\xff"])
def test_an_unreadable_text_of_the_envelope_affects_nothing_else(text: bytes) -> None:
    body = json.dumps(HEADER).encode().replace(b"@", text)
    page = run(
        Service(Response(body)),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    staged = transform_favourites(client_rows((), envelope=page.envelope, snapshot_date=DAY))
    assert len(staged.records["favourite_stats"]) == 1
    assert [record[1] for record in staged.records["favourite_groups"]] == [1]
    assert [bad.table for bad in staged.bad_rows] == ["favourite_groups"]
    assert "Id" in staged.bad_rows[0].raw


@pytest.mark.parametrize("value", [b'""', b'"x"', b"[1]", b"{}", b'"\x0b"', b'"\\ud83d"', b"NaN"])
@pytest.mark.parametrize(
    "listed", [b"", b'"ListFavorites":null,', b'"ListFavorites":5,', b'"ListFavorites":"x",',
               b'"ListFavorites":[{"Id":1,"Name":"\x0b"}],', b'"GroupFavorites":"x",']
)  # fmt: skip
def test_a_malformed_number_of_the_envelope_affects_nothing_else(
    value: bytes, listed: bytes
) -> None:
    body = b'{"ErrorCode":0,"TotalRows":0,"ClientFavorites":[],%s"SumGain":%s,"CountOffer":3}'
    page = run(
        Service(Response(body % (listed, value))),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    envelope = json.loads(page.envelope)
    assert envelope["CountOffer"] == 3
    assert isinstance(envelope.get("ListFavorites", []), list)
    staged = transform_favourites(client_rows((), envelope=page.envelope, snapshot_date=DAY))
    (bad,) = staged.bad_rows
    assert "SumGain" in bad.reason


def test_a_malformed_number_next_to_the_goods_of_an_offer_is_ignored() -> None:
    body = (
        b'{"ErrorCode":0,"TotalRows":1,"SumGain":"","ClientFavorites":[{"Id":4},{"Id":5,"X":"\x0b"}],'
        b'"ListFavorites":[{"Id":4,"ListDataId":8}]}'
    )
    goods = run(
        Service(Response(body)), lambda api: read_favourite_goods(api, 7, 4, PageRequest(1, 50))
    )
    assert [row.key for row in goods.page.rows] == [(8,)]
    assert goods.offer_ids == {4, 5}


@pytest.mark.parametrize("offers", [b"null", b"5", b'"x"', b"{}", b'"\x0b"', b"[1,]"])
def test_malformed_offers_next_to_goods_give_no_offer_ids(offers: bytes) -> None:
    body = b'{"ErrorCode":0,"ClientFavorites":%s,"ListFavorites":[{"ListDataId":8}]}' % offers
    goods = run(
        Service(Response(body)), lambda api: read_favourite_goods(api, 7, 4, PageRequest(1, 50))
    )
    assert [row.key for row in goods.page.rows] == [(8,)]
    assert goods.offer_ids == frozenset()


def test_a_malformed_number_in_xml_affects_nothing_else() -> None:
    body = (
        b"<R><ErrorCode>0</ErrorCode><TotalRows>0</TotalRows><ClientFavorites/><SumGain/>"
        b"<CountOffer>3</CountOffer><ListFavorites/></R>"
    )
    page = run(
        Service(Response(body, content_type=XML)),
        lambda api: read_page(api, CLIENT_FAVORITE_DATA_INFO, 7, PageRequest(1, 5)),
    )
    assert json.loads(page.envelope) == {"SumGain": "", "CountOffer": 3}


@pytest.mark.parametrize("phone", [b'""', b'"\x0b"', b"NaN"])
def test_a_truncated_body_with_a_malformed_phone_is_requested_again(phone: bytes) -> None:
    whole = (
        b'{"Client":7,"Phone":%s,"Rows":1,"Operations":[{"Id":1,"ComponentType":1}],"ErrorCode":0}'
    )
    body = whole % phone
    for end in range(10, len(body), 3):
        service = Service(Response(body[:end]), Response(body))
        assert len(run(service, read_history).rows) == 1
        assert len(service.requests) == 2


@pytest.mark.parametrize(
    ("message", "message_part"),
    [
        (b'"Timeout expired \\ud83d"', "Timeout expired"),
        (b'"line\x0bbreak \xff"', "line break"),
        (b'"\\x"', "\\x"),
        (b"5", "5"),
        (b'{"a":1}', '{"a":1}'),
        (b"[" * 50_000 + b"]" * 50_000, "[[["),
    ],
    ids=range(6),
)
def test_an_unreadable_message_hides_neither_the_error_nor_the_rows(
    message: bytes, message_part: str
) -> None:
    with pytest.raises(BusinessError) as caught:
        run(Service(Response(b'{"ErrorCode":5,"Message":%s}' % message)), read_history)
    assert message_part in str(caught.value)
    str(caught.value).encode()  # raises if it cannot be printed
    body = b'{"ErrorCode":0,"Message":%s,"Rows":1,"Operations":[{"Id":1,"ComponentType":1}]}'
    assert len(run(Service(otherwise=lambda _: Response(body % message)), read_history).rows) == 1


def test_an_error_code_with_a_time_out_message_is_always_retried() -> None:
    busy = '{"ErrorCode":10,"Message":"Истекло время ожидания \x0b","Operations":[{"a":"\x0b"}]}'
    service = Service(Response(busy.encode()), Response())
    assert run(service, read_history).rows == ()
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"Id":1,"ComponentType":1},{"Id":2,"PosName":"\x0b',
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"Id":1,"PosName":"\x0b"}',
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"PosName":"\x0b"} {"Id":2}]}',
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"PosName":"\x0b"},]}',
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"PosName":"\x0b"]}}',
        b'{"ErrorCode":0,"Rows":2,"Operations":[{"PosName":"\x0b"}]} and more',
        b'{"Rows":2,"Operations":[{"PosName":"\x0b"}]}',
        b'{"ErrorCode":null,"Rows":2,"Operations":[{"PosName":"\x0b"}]}',
        b'{"ErrorCode":0,"Rows":2,"Operations":{"PosName":"\x0b"}}',
        b'{"ErrorCode":0,"Rows":"","Operations":[]}',
        b'{"ErrorCode":0,"Rows":1.5,"Operations":[]}',
    ],
)
def test_a_truncated_or_malformed_response_is_never_repaired(body: bytes) -> None:
    service = Service(otherwise=lambda _: Response(body))
    with pytest.raises(MalformedError):
        run(service, read_history)
    assert len(service.requests) == 6


def test_a_document_is_split_without_being_decoded() -> None:
    text = rb' {"a" : 1 ,"b":[1,{"c":"]\""}], "\u0063":"x", "d":{} ,"a":2} '
    assert split_object(text) == {"a": b"2", "b": rb'[1,{"c":"]\""}]', "c": b'"x"', "d": b"{}"}
    assert split_array(b' [ 1 , "a,b",[[]], {"x":[]} ] ') == [b"1", b'"a,b"', b"[[]]", b'{"x":[]}']
    assert (split_array(b"[ ]"), split_object(b"{ }")) == ([], {})


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[", b"[1,,2]", b"[1,]", b"[1}", b"[1 2]", b"[{]}", b'["', b"1", b"[] []"]
)
def test_unbalanced_text_is_not_split(text: bytes) -> None:
    for split in (split_array, split_object):
        with pytest.raises(SplitError):
            split(text)


NAMED = (
    '{"Client":7,"Rows":1,"Operations":[{"Id":1,"ComponentType":2,"PosName":"%s"}],"ErrorCode":0}'
)
SHOP = "Магазин №1"


def shop_of(page: Page) -> str:
    return str(json.loads(page.rows[0].raw)["PosName"])


def xml_of_shop(name: str, declared: str = "") -> str:
    row = f"<Row><Id>1</Id><ComponentType>2</ComponentType><PosName>{name}</PosName></Row>"
    rest = "<ErrorCode>0</ErrorCode><Rows>1</Rows>"
    return f"{declared}<R>{rest}<Operations>{row}</Operations></R>"


@pytest.mark.parametrize(
    "charset",
    ["", "; charset=windows-1251", "; charset=utf-8; version=1", ';charset="utf-8"; q=1',
     "; CHARSET = UTF8", "; charset='utf-8'", "; charset=undefined", "; charset=",
     "; charset=koi8-r",
     "; charset=hex", "; charset=utf-16", "; charset=" + "x" * 4000, "; version=1; charset=cp866"],
    ids=lambda charset: charset[:30],
)  # fmt: skip
def test_utf8_is_read_as_utf8_whatever_the_header_says(charset: str) -> None:
    for kind, body in (
        ("application/json", NAMED % SHOP),
        ("application/xml", xml_of_shop(SHOP)),
        ("text/xml", xml_of_shop(SHOP, '<?xml version="1.0" encoding="windows-1251"?>')),
        ("text/xml", xml_of_shop(SHOP, "<?xml version='1.0' encoding='utf-16'?>")),
    ):
        service = Service(Response(body.encode(), content_type=kind + charset))
        assert shop_of(run(service, read_history)) == SHOP


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("windows-1251", "cp1251"), ('"koi8-r"; v=1', "koi8-r"), ("ISO-8859-5", "iso8859-5")],
)
def test_other_text_is_read_in_the_charset_of_the_header(charset: str, codec: str) -> None:
    name = "Магазин"
    for body in (NAMED % name, xml_of_shop(name)):
        response = Response(body.encode(codec), content_type=f"application/json; charset={charset}")
        assert shop_of(run(Service(response), read_history)) == name


def test_the_xml_declaration_is_used_if_the_header_is_wrong() -> None:
    body = xml_of_shop(SHOP, '<?xml version="1.0" encoding="windows-1251"?>').encode("cp1251")
    for kind in ("text/xml", "text/xml; charset=utf-8"):
        assert shop_of(run(Service(Response(body, content_type=kind)), read_history)) == SHOP


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_wide_text_and_byte_order_marks_are_read(codec: str) -> None:
    for body in (NAMED % SHOP, xml_of_shop(SHOP)):
        response = Response(body.encode(codec), content_type="application/json")
        assert shop_of(run(Service(response), read_history)) == SHOP


def test_an_undecodable_byte_rejects_only_its_row() -> None:
    feed = FEEDS["leads"]
    for charset in ("windows-1251", "utf-8"):
        good = "Где бонусы".encode()
        body = three_rows(feed, b"\xd0").replace(
            b'"Leads":1001,', b'"Leads":1001,"Subject":"%s",' % good
        )
        response = Response(body, content_type=f"application/json; charset={charset}")
        staged = feed.transform(run(Service(response), feed.read))
        assert [len(staged.records["leads"]), len(staged.bad_rows)] == [2, 1]
        assert "Где бонусы" in str(staged.records["leads"])


def test_text_in_an_unknown_charset_is_malformed() -> None:
    response = Response(
        (NAMED % SHOP).encode("cp1251"), content_type="application/json; charset=undefined"
    )
    with pytest.raises(MalformedError, match="charset"):
        run(Service(otherwise=lambda _: response), read_history)


def test_references_within_cdata_and_comments_are_plain_text() -> None:
    name = "<!-- &#x1F; --><![CDATA[a&#x1F;]]>"
    rows = (
        "<Row><Id>2</Id><ComponentType>2</ComponentType><PosName>&#0;</PosName></Row></Operations>"
    )
    body = xml_of_shop(name).replace("</Operations>", rows).replace("<Rows>1", "<Rows>2")
    page = run(Service(Response(body.encode(), content_type=XML)), read_history)
    assert shop_of(page) == "a&#x1F;"
    staged = transform_operations(client_rows(page.rows))
    assert len(staged.bad_rows) == 2  # neither has a moment; only the second has a bad text
    assert staged.bad_rows[1].reason == f"PosName: {NUL}"


def test_a_referenced_control_character_is_the_same_text_in_xml_as_in_json() -> None:
    responses = [
        Response((NAMED % r"a\u001f\u000b\u0001b").encode(), content_type="application/json"),
        Response(xml_of_shop("a&#x1F;&#11;&#1;b").encode(), content_type=XML),
    ]
    pages = [run(Service(response), read_history) for response in responses]
    assert [shop_of(page) for page in pages] == ["a\x1f\x0b\x01b"] * 2


@pytest.mark.parametrize(
    "body",
    [
        xml_of_shop("a &#x1F; & b").encode(),
        xml_of_shop("&#x1F;").encode()[:-4],
        xml_of_shop("\U00100001&#x1F;").encode(),
        xml_of_shop("&#1;" * 200_000).encode(),
        b"<R><ErrorCode>0</ErrorCode><Rows>0</Rows><Operations>none</Operations></R>",
        b"<R>" + b"<![CDATA[" * 100_000,
    ],
    ids=range(6),
)
def test_other_broken_xml_is_malformed(body: bytes) -> None:
    with pytest.raises(LoyaltyApiError) as caught:
        run(Service(otherwise=lambda _: Response(body, content_type=XML)), read_history)
    assert isinstance(caught.value, MalformedError)
