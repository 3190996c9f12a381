"""Rows reduced to key, moment, digest and bytes."""

from hashlib import blake2b
from typing import Any

import pytest

from lcm_pipeline.api.rows import source_row
from lcm_pipeline.model.endpoints import (
    CLIENT_FAVORITE_DATA_INFO,
    CLIENT_INFO_PERIOD,
    FAVOURITE_GOODS,
    LEADS_PAGING_INFO,
    OPERATION_HISTORY,
    Endpoint,
)


@pytest.mark.parametrize(
    ("endpoint", "raw", "key", "moment"),
    [
        (OPERATION_HISTORY, b'{"Id":5,"ComponentType":1,"Proctime":"t"}', (1, 5), "t"),
        (CLIENT_INFO_PERIOD, b'{"Client":1,"Card":2,"RegDate":"t"}', (1, 2), "t"),
        (LEADS_PAGING_INFO, b'{"Id":9,"Leads":3,"ProcTime":"t"}', (3,), "t"),
        (CLIENT_FAVORITE_DATA_INFO, b'{"Id":4,"ProcTime":"t"}', (4,), "t"),
        (FAVOURITE_GOODS, b'{"Id":4,"ListDataId":8}', (8,), None),
        (OPERATION_HISTORY, b'{"Id":"5","ComponentType":"1"}', (1, 5), None),
    ],
)
def test_the_key_and_the_moment_are_those_of_the_endpoint(
    endpoint: Endpoint[Any, Any], raw: bytes, key: tuple[int, ...], moment: str | None
) -> None:
    row = source_row(endpoint, raw)
    assert (row.key, row.moment, row.raw) == (key, moment, raw)
    assert row.digest == blake2b(raw, digest_size=16).digest()


@pytest.mark.parametrize(
    "raw",
    [b'{"Id":null,"ComponentType":1}', b'{"Id":"x","ComponentType":1}', b"{}", b"null", b"[1]",
     b'{"Id":1,"ComponentType":256}', b'{"Id":99999999999999999999,"ComponentType":1}'],
)  # fmt: skip
def test_a_row_without_a_readable_key_is_identified_by_its_digest(raw: bytes) -> None:
    row = source_row(OPERATION_HISTORY, raw)
    assert row.key == ("?", row.digest)


def test_a_malformed_moment_does_not_lose_the_key() -> None:
    row = source_row(OPERATION_HISTORY, b'{"Id":5,"ComponentType":1,"Proctime":17}')
    assert (row.key, row.moment) == ((1, 5), None)


def test_a_malformed_key_does_not_lose_the_moment() -> None:
    row = source_row(OPERATION_HISTORY, b'{"Id":"x","ComponentType":1,"Proctime":"t"}')
    assert (row.key, row.moment) == (("?", row.digest), "t")


def test_a_malformed_value_elsewhere_does_not_lose_the_key() -> None:
    assert source_row(OPERATION_HISTORY, b'{"Id":5,"ComponentType":1,"Amount":"x"}').key == (1, 5)
