"""The XML format: requests as DataContractSerializer reads them, responses as it writes them."""

import json
from typing import Any

import pytest

from lcm_pipeline.api.client import LoyaltyApi
from lcm_pipeline.api.errors import LoyaltyApiError, MalformedError
from lcm_pipeline.api.paging import read_page
from lcm_pipeline.api.xml_format import NotXmlError, encode_xml, xml_to_json
from lcm_pipeline.model.endpoints import (
    CLIENT_INFO_PERIOD,
    CLIENT_UPDATE,
    OPERATION_HISTORY,
)
from lcm_pipeline.model.pages import PageRequest
from lcm_pipeline.model.payloads import (
    ClientInfoPeriodReg,
    ClientInfoPeriodRequest,
    ClientInfoPeriodResponse,
    Operation,
    OperationHistoryRequest,
    OperationHistoryResponse,
    SetClientUpdateRequest,
    decode_row,
)
from tests.unit import api_service
from tests.unit.api_service import Response, Service

INSTANCE = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
ABSTRACTIONS = (
    'xmlns="http://schemas.datacontract.org/2004/07/LCManagerPartner.Implementation.Abstractions"'
)


def history(*, code: str = "0", rows: str = "", extra: str = "") -> bytes:
    return (
        f'<OperationHistoryResponse {INSTANCE} xmlns="urn:any"><ErrorCode {ABSTRACTIONS}>{code}'
        f'</ErrorCode><Message {ABSTRACTIONS} i:nil="true"/>{extra}'
        f"<Operations>{rows}</Operations><Rows>1</Rows></OperationHistoryResponse>"
    ).encode()


def to_rows(body: bytes) -> Any:
    return json.loads(xml_to_json(OperationHistoryResponse, body))


def test_base_members_come_first_and_the_rest_alphabetically() -> None:
    request = OperationHistoryRequest(
        Start=1, Length=5, Client=7, Cheque=False, Token=42, Operator=3, SiteCode="a<b"
    )
    assert encode_xml(OPERATION_HISTORY, request).decode() == (
        f"<OperationHistoryRequest {INSTANCE} "
        'xmlns="http://schemas.datacontract.org/2004/07/LCManagerPartner.Implementation.Request">'
        f"<Operator {ABSTRACTIONS}>3</Operator><SiteCode {ABSTRACTIONS}>a&lt;b</SiteCode>"
        f"<Token {ABSTRACTIONS}>42</Token><Cheque>false</Cheque><Client>7</Client>"
        "<Length>5</Length><Start>1</Start></OperationHistoryRequest>"
    )


def test_inner_members_are_alphabetical_too() -> None:
    reg = ClientInfoPeriodReg(Yesterday=True, Month=64, Today=True, Year=1)
    text = encode_xml(CLIENT_INFO_PERIOD, ClientInfoPeriodRequest(Reg=reg)).decode()
    assert (
        "<Reg><Month>64</Month><Today>true</Today><Year>1</Year><Yesterday>true</Yesterday></Reg>"
        in text
    )


def test_the_update_has_its_own_namespace_but_its_base_members_do_not() -> None:
    text = encode_xml(CLIENT_UPDATE, SetClientUpdateRequest(Client=7, Token=1)).decode()
    assert text.startswith(
        f"<SetClientUpdateRequest {INSTANCE} "
        'xmlns="http://schemas.datacontract.org/2004/07/LCManagerPartner.Models">'
        f"<Token {ABSTRACTIONS}>1</Token><Client>"
    )


def test_nil_is_null_absent_is_absent_and_empty_is_an_empty_text() -> None:
    row = (
        '<X.Op><Id>5</Id><PosName i:nil="true"/><ChequeNumber/><CouponNumber></CouponNumber></X.Op>'
    )
    (seen,) = to_rows(history(rows=row))["Operations"]
    assert seen == {"Id": "5", "PosName": None, "ChequeNumber": "", "CouponNumber": ""}


def test_texts_keep_their_spaces_punctuation_and_letters() -> None:
    row = "<X.Op><PosName> Чай &amp; &lt;кофе&gt; &#13;\n</PosName></X.Op>"
    (seen,) = to_rows(history(rows=row))["Operations"]
    assert seen == {"PosName": " Чай & <кофе> \r\n"}


def test_an_empty_list_is_empty_and_a_nil_list_is_null() -> None:
    assert to_rows(history(rows=" \n "))["Operations"] == []
    body = history().replace(b"<Operations></Operations>", b'<Operations i:nil="1"/>')
    assert to_rows(body)["Operations"] is None


def test_any_prefix_and_namespace_are_accepted() -> None:
    body = (
        b'<q:OperationHistoryResponse xmlns:q="urn:q"><q:ErrorCode>0</q:ErrorCode>'
        b"<q:Operations><q:Row><q:Id>1</q:Id></q:Row></q:Operations></q:OperationHistoryResponse>"
    )
    assert to_rows(body) == {"ErrorCode": "0", "Operations": [{"Id": "1"}]}


def test_unknown_members_keep_their_shape() -> None:
    row = "<X.Op><Id>1</Id><Gifts><a>1</a><a>2</a><b><c>3</c></b></Gifts></X.Op>"
    (seen,) = to_rows(history(rows=row))["Operations"]
    assert seen == {"Id": "1", "Gifts": {"a": ["1", "2"], "b": {"c": "3"}}}


def test_a_row_of_texts_decodes_like_any_other() -> None:
    row = "<X.Op><Active>true</Active><Amount>1.50</Amount><ComponentType>64</ComponentType></X.Op>"
    (seen,) = to_rows(history(rows=row))["Operations"]
    operation = decode_row(json.dumps(seen).encode(), Operation)
    assert (operation.Active, str(operation.Amount), operation.ComponentType) == (True, "1.50", 64)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a><ErrorCode>0</ErrorCode>&e;</a>',
        b"<!DOCTYPE html><html><body>busy</body></html>",
        b"<html><body><p>busy<br></body></html>",
        b"<html></html>",
        b"<OperationHistoryResponse><ErrorCode>0</ErrorCode><Opera",
        b"<a>&unknown;</a>",
    ],
)
def test_an_invalid_response_is_refused(body: bytes) -> None:
    with pytest.raises(NotXmlError):
        xml_to_json(OperationHistoryResponse, body)


def test_a_response_of_many_megabytes_is_read() -> None:
    row = f"<X.Row><Card>1</Card><Card_Type>{'x' * 1000}</Card_Type></X.Row>"
    body = f"<a><ErrorCode>0</ErrorCode><Clients>{row * 15_000}</Clients></a>".encode()
    assert len(json.loads(xml_to_json(ClientInfoPeriodResponse, body))["Clients"]) == 15_000


def run(service: Service, act: Any) -> Any:
    return api_service.run(service, act, api_format="xml", token="42")


async def read(api: LoyaltyApi) -> Any:
    return await read_page(api, OPERATION_HISTORY, 7, PageRequest(1, 5))


def test_a_page_in_xml_equals_the_page_in_json() -> None:
    row = "<X.Op><ComponentType>1</ComponentType><Id>5</Id><Proctime>t</Proctime></X.Op>"
    body = history(rows=row, extra="<Client>7</Client>")
    service = Service(Response(body, content_type="application/xml; charset=utf-8"))
    page = run(service, read)
    assert [(row.key, row.moment) for row in page.rows] == [((1, 5), "t")]
    assert page.total == 1
    assert json.loads(page.envelope) == {"Client": 7}
    assert service.requests[0].headers["accept"] == "application/xml"
    assert service.requests[0].headers["content-type"] == "application/xml; charset=utf-8"


def test_a_json_response_to_an_xml_request_is_read() -> None:
    assert run(Service(), read).total == 0


@pytest.mark.parametrize(
    "body", [b"<Error><Message>x</Message></Error>", b"<html>", history(code="")]
)
def test_xml_without_an_error_code_is_malformed(body: bytes) -> None:
    service = Service(otherwise=lambda _: Response(body, content_type="application/xml"))
    with pytest.raises(MalformedError):
        run(service, read)


def test_rows_with_an_error_code_in_xml_are_discarded() -> None:
    body = history(code="5", rows="<X.Op><Id>5</Id></X.Op>")
    with pytest.raises(LoyaltyApiError, match="ErrorCode 5"):
        run(Service(Response(body, content_type="text/xml")), read)
