"""Scores of RFM are ranks, whatever the breaks and however many clients are equal."""

import random
from datetime import date, timedelta
from decimal import Decimal
from math import ceil

import pytest

from lcm_pipeline.warehouse.connection import Warehouse

_CLIENTS = 101


@pytest.mark.parametrize(
    "breaks",
    [
        ["0.2", "0.4", "0.6", "0.8"],
        ["0.333", "0.666"],
        # Breaks that every client reaches, that none does, and that are equal or unordered.
        ["-1", "0", "0.1", "0.1", "0.9"],
        ["1", "0.5", None, "1.5"],
        [f"0.{n:02}" for n in range(1, 100)],
        [],
    ],
)
@pytest.mark.parametrize("distinct_values", [1, 4, 1000])
def test_a_score_counts_the_breaks_that_the_share_of_clients_strictly_worse_reaches(
    warehouse: Warehouse, breaks: list[str | None], distinct_values: int
) -> None:
    chance = random.Random(distinct_values)
    values = [
        (
            date(2026, 1, 1) + timedelta(chance.randrange(distinct_values)),
            chance.randrange(distinct_values),
            Decimal(chance.randrange(-distinct_values, distinct_values)) / 100,
        )
        for _ in range(_CLIENTS)
    ]
    with warehouse.connect() as session:
        session.execute("update mart.parameters set rfm_breaks = %s::numeric[]", [breaks])
        with session.cursor() as cursor:
            cursor.executemany(
                "insert into mart.client_totals (client_id, purchases, last_purchase_date,"
                " recent_purchases, recent_net_sales) values (%s, 1, %s, %s, %s)",
                [(client, *of_client) for client, of_client in enumerate(values)],
            )
        scores = session.execute(
            "select recency_score, frequency_score, monetary_score from refresh.rfm_scores"
            " order by client_id"
        ).fetchall()

    def score(of_clients: list[object], value: object) -> int:
        worse = sum(other < value for other in of_clients)  # type: ignore[operator]
        return 1 + sum(worse >= ceil(Decimal(each) * _CLIENTS) for each in breaks if each)

    measures = [list(measure) for measure in zip(*values, strict=True)]
    assert scores == [
        tuple(score(measure, value) for measure, value in zip(measures, of_client, strict=True))
        for of_client in values
    ]
