"""When a push stops, and how the vendor's texts are scrubbed."""

import pytest

from lcm_pipeline.model.profiles import AttemptOutcome, AttemptResult
from lcm_pipeline.push.attempt import without_values
from lcm_pipeline.push.canary import Canary


def recorded(canary: Canary, *outcomes: AttemptOutcome, code: int | None = 8) -> Canary:
    for outcome in outcomes:
        canary.record(AttemptResult(outcome, code, None, "what came back"))
    return canary


def test_the_trial_stops_when_more_than_its_share_failed() -> None:
    canary = recorded(Canary(5, 0.2, 4), "sent", "partial", "sent", "failed")
    assert (canary.trial_left, canary.reason_to_stop()) == (1, None)
    reason = recorded(canary, "sent").reason_to_stop()
    assert reason == "2 of the first 5 updates failed, more than LCM_PUSH_FUSE (0.2) allows"


def test_exactly_the_share_may_fail() -> None:
    assert recorded(
        Canary(5, 0.4, 4), "unknown", "sent", "failed", "sent", "sent"
    ).reason_to_stop() is (None)


def test_a_trial_of_zero_updates_is_no_trial() -> None:
    canary = recorded(Canary(0, 0.0, 4), *["failed"] * 7)
    assert (canary.trial_left, canary.reason_to_stop()) == (0, None)


def test_after_the_trial_only_consecutive_failures_stop() -> None:
    canary = recorded(Canary(2, 0.0, 4), "sent", "sent", *["partial", "sent"] * 50)
    assert canary.reason_to_stop() is None
    assert recorded(canary, *["unknown"] * 8).reason_to_stop() == "8 updates failed in a row"


def test_as_many_as_are_in_flight_may_fail_together() -> None:
    canary = recorded(Canary(0, 0.0, 16), "sent", *["unknown"] * 15)
    assert canary.reason_to_stop() is None


@pytest.mark.parametrize(
    ("outcomes", "codes", "refuses_everything"),
    [
        (["failed"] * 3, [2, 2, 2], True),
        (["failed"] * 2, [2, 2], False),
        (["failed"] * 3, [2, 2, 8], False),
        (["failed", "failed", "failed", "partial"], [2, 2, 2, 0], False),
    ],
)
def test_only_equal_refusals_count_as_refusing_everything(
    outcomes: list[AttemptOutcome], codes: list[int], refuses_everything: bool
) -> None:
    canary = Canary(20, 0.2, 4)
    for outcome, code in zip(outcomes, codes, strict=True):
        recorded(canary, outcome, code=code)
    assert canary.refuses_everything is refuses_everything


def test_no_response_is_not_a_refusal() -> None:
    assert "what came back" in (recorded(Canary(5, 0.2, 4), "unknown").no_response_reason() or "")
    assert recorded(Canary(5, 0.2, 4), "unknown", "failed").no_response_reason() is None
    assert recorded(Canary(5, 0.2, 4), "not sent", "not sent").is_unreachable
    assert not recorded(Canary(5, 0.2, 4), "not sent", "unknown").is_unreachable
    assert not Canary(5, 0.2, 4).is_unreachable


def test_an_ambiguous_response_does_not_prove_that_the_service_responds() -> None:
    canary = recorded(Canary(5, 0.2, 4), "sent", "failed")
    assert canary.responses == 2
    canary.record(AttemptResult("failed", error="what came back", is_ambiguous=True))
    canary.record(AttemptResult("not sent", error="what came back", is_ambiguous=True))
    assert canary.responses == 2


def test_a_push_without_any_response_reports_the_error() -> None:
    canary = Canary(2, 0.2, 4)
    for _ in range(2):
        canary.record(
            AttemptResult("not sent", error="HTTP 403; check the rights", is_ambiguous=True)
        )
    reason = canary.reason_to_stop() or ""
    assert reason.startswith("2 of the first 2 updates failed")
    assert reason.endswith("HTTP 403; check the rights")


def test_a_scrubbed_text_can_be_stored() -> None:
    assert without_values("занято \ud800\0", {}).encode() == "занято".encode()


@pytest.mark.parametrize(
    "text",
    [
        "адрес АННА.к@example.org занят",
        "участник анна-мария уже есть",
        "«анна-мария» и ян",
        "тел. 9031112233 занят, +7 (903) 111-22-33",
    ],
)
def test_what_was_sent_is_not_in_the_scrubbed_text(text: str) -> None:
    values = {"name": "Анна-Мария", "surname": "Ян", "email": "анна.к@example.org",
              "phone": 9031112233}  # fmt: skip
    recorded = without_values(text, values).lower()
    assert not [one for one in ("анна", "9031112233", "111-22", "example") if one in recorded]
    assert " ян" not in recorded


def test_other_words_of_the_vendor_stay() -> None:
    assert without_values("Участник не найден", {"name": "Як"}) == "Участник не найден"
