"""The simulator's responses over HTTP: paging, filters, ErrorCodes, updates, and its quirks."""

from datetime import date, datetime
from typing import Any

import httpx
import msgspec
import pytest

from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.simulator.quirks import Habits, Quirks, changed
from lcm_pipeline.simulator.server import RunningSimulator
from tests.contract.simulator_calls import busiest, control, fetch, keys, post, small_config

HEAVY = Habits(heavy_operations=300, offers_daily=0.2)


@pytest.fixture(scope="module")
def simulator():
    with RunningSimulator(small_config(habits=HEAVY, prefix="/WebService/XYZ/")) as running:
        yield running


@pytest.fixture(autouse=True)
def plain(simulator):
    simulator.service.desk.quirks = Quirks()


def quirk(simulator: RunningSimulator, **changes: Any) -> None:
    control(simulator, "quirks", changes)


def operations(simulator: RunningSimulator, start: int, length: int) -> list[tuple[Any, Any]]:
    request = {"Client": busiest(simulator), "Start": start, "Length": length}
    return keys(fetch(simulator, "OperationHistory", **request)["Operations"])


def read_all(simulator: RunningSimulator, endpoint: str, rows: str, client: int) -> list[Any]:
    request = {"Client": client, "Start": 1, "Length": 10_000}
    return [{"Client": client, **row} for row in fetch(simulator, endpoint, **request)[rows]]


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def test_what_is_served_is_the_truth_row_by_row(simulator):
    truth = simulator.world.truth()
    clients = [row["Client"] for row in truth["favourite_stats"]]
    for table, endpoint, rows in (
        ("operations", "OperationHistory", "Operations"),
        ("leads", "LeadsPagingInfo", "LeadsClients"),
        ("favourite_offers", "ClientFavoriteDataInfo", "ClientFavorites"),
        ("favourite_groups", "ClientFavoriteDataInfo", "GroupFavorites"),
    ):
        served = [row for client in clients for row in read_all(simulator, endpoint, rows, client)]
        assert in_order(served) == in_order(truth[table])
        assert served
    registrations = fetch(simulator, "ClientInfoPeriod", Registration=True)["Clients"]
    assert in_order(registrations) == in_order(truth["registrations"])


def test_the_goods_of_an_offer_are_returned_only_if_it_is_requested(simulator):
    truth = simulator.world.truth()
    offer = truth["favourite_offers"][0]
    without = fetch(simulator, "ClientFavoriteDataInfo", Client=offer["Client"])
    request = {"Client": offer["Client"], "ClientFavoriteId": offer["Id"]}
    response = fetch(simulator, "ClientFavoriteDataInfo", **request)
    goods = [
        {"Client": offer["Client"], "ClientFavoriteId": offer["Id"], **row}
        for row in response["ListFavorites"]
    ]
    assert without["ListFavorites"] == []
    assert goods == [r for r in truth["favourite_goods"] if r["ClientFavoriteId"] == offer["Id"]]
    assert response["TotalRows"] == 1


def test_the_numbers_above_favourites_are_true_unless_a_period_is_requested(simulator):
    client = busiest(simulator, "offers")
    truth = simulator.world.truth()["favourite_stats"]
    numbers = next(row for row in truth if row["Client"] == client)
    response = fetch(simulator, "ClientFavoriteDataInfo", Client=client)
    assert {"Client": client} | {k: response[k] for k in numbers if k != "Client"} == numbers
    early = fetch(simulator, "ClientFavoriteDataInfo", Client=client, EndDate="2026-03-01")
    assert early["CountOffer"] < response["CountOffer"]


def test_start_counts_from_one_and_zero_is_read_as_one(simulator):
    assert operations(simulator, 0, 10) == operations(simulator, 1, 10)
    assert operations(simulator, 1, 10)[9] == operations(simulator, 10, 10)[0]
    assert not set(operations(simulator, 1, 10)) & set(operations(simulator, 11, 10))


def test_rows_are_newest_first_with_an_honest_total(simulator):
    request = {"Client": busiest(simulator), "Start": 1, "Length": 10_000}
    response = fetch(simulator, "OperationHistory", **request)
    moments = [row["Proctime"].ljust(27, "0") for row in response["Operations"]]
    assert [m[:19] for m in moments] == sorted((m[:19] for m in moments), reverse=True)
    assert response["Rows"] == len(response["Operations"]) >= 300


def test_the_page_after_the_last_row_is_empty(simulator):
    assert operations(simulator, 5000, 10) == []


def test_max_length_caps_the_requested_length(simulator):
    quirk(simulator, max_length=25)
    assert len(operations(simulator, 1, 100)) == 25


def test_a_page_can_have_one_row_too_many(simulator):
    quirk(simulator, one_row_too_many=True)
    assert len(operations(simulator, 1, 10)) == 11
    assert operations(simulator, 1, 10)[-1] == operations(simulator, 11, 10)[0]


def test_zero_based_start_and_ignored_start_and_oldest_first(simulator):
    honest = operations(simulator, 1, 10_000)
    quirk(simulator, zero_based=True)
    assert operations(simulator, 1, 5) == honest[1:6]
    quirk(simulator, zero_based=False, ignore_start=True)
    assert operations(simulator, 40, 5) == honest[:5]
    quirk(simulator, ignore_start=False, oldest_first=True)
    assert operations(simulator, 1, 10_000) == honest[::-1]


def test_only_shuffled_ties_change_their_order_between_requests(simulator):
    quirk(simulator, tie_order="shuffled")
    pages = [operations(simulator, 1, 10_000) for _ in range(5)]
    assert len({tuple(page) for page in pages}) > 1
    assert all(sorted(page) == sorted(pages[0]) for page in pages)


@pytest.mark.parametrize(("totals", "difference"), [("null", None), (3, 3), (-2, -2)])
def test_totals_can_be_null_or_a_lie(simulator, totals, difference):
    client = busiest(simulator)
    honest = fetch(simulator, "OperationHistory", Client=client)["Rows"]
    quirk(simulator, totals=totals)
    claimed = fetch(simulator, "OperationHistory", Client=client)["Rows"]
    assert claimed == (None if difference is None else honest + difference)


@pytest.mark.parametrize(("end", "found"), [("inclusive", 1), ("exclusive", 0), ("whole_day", 1)])
def test_the_end_of_a_period_is_a_quirk(simulator, end, found):
    quirk(simulator, end_date=end)
    lead = simulator.world.truth()["leads"][0]
    period = {"BegDate": lead["ProcTime"], "EndDate": lead["ProcTime"]}
    response = fetch(simulator, "LeadsPagingInfo", Client=lead["Client"], **period)
    assert (response["TotalRows"] > 0) == bool(found)


def test_a_day_of_registrations_contains_only_that_day(simulator):
    period = {"BegDate": "2026-03-04T00:00:00", "EndDate": "2026-03-04T23:59:59.9999999"}
    response = fetch(simulator, "ClientInfoPeriod", Registration=True, **period)
    truth = simulator.world.truth()["registrations"]
    assert in_order(response["Clients"]) == in_order(
        [row for row in truth if row["RegDate"].startswith("2026-03-04")]
    )
    assert response["Clients"]


def test_registrations_without_the_flag_include_all_active_clients(simulator):
    period = {"BegDate": "2026-03-04T00:00:00", "EndDate": "2026-03-05T00:00:00"}
    flagged = fetch(simulator, "ClientInfoPeriod", Registration=True, **period)["Clients"]
    unflagged = fetch(simulator, "ClientInfoPeriod", **period)["Clients"]
    assert len(unflagged) > len(flagged)


def test_the_reg_filters_use_the_clock_of_the_world(simulator):
    yesterday = fetch(simulator, "ClientInfoPeriod", Reg={"Yesterday": True})["Clients"]
    month = fetch(simulator, "ClientInfoPeriod", Reg={"Month": 3, "Year": 2026})["Clients"]
    assert {row["RegDate"][:10] for row in yesterday} <= {"2026-03-10"}
    assert len(month) == len(simulator.world.truth()["registrations"])


def test_a_z_on_a_request_date_is_wrongly_read_as_moscow_time(simulator):
    lead = simulator.world.truth()["leads"][0]
    moment = lead["ProcTime"]
    naive = {"BegDate": moment + "Z", "EndDate": moment + "Z"}
    response = fetch(simulator, "LeadsPagingInfo", Client=lead["Client"], **naive)
    assert moment in [row["ProcTime"] for row in response["LeadsClients"]]


@pytest.mark.parametrize(("zone", "ending"), [("moscow", "+03:00"), ("utc", "Z")])
def test_offset_dates_are_the_same_moments(simulator, zone, ending):
    client = busiest(simulator)
    plain = fetch(simulator, "OperationHistory", Client=client)["Operations"]
    quirk(simulator, offset_dates=zone)
    dated = fetch(simulator, "OperationHistory", Client=client)["Operations"]
    for before, after in zip(plain, dated, strict=True):
        assert after["Proctime"].endswith(ending)
        aware = datetime.fromisoformat(after["Proctime"][:19] + ("Z" if zone == "utc" else ending))
        assert aware == datetime.fromisoformat(before["Proctime"][:19] + "+03:00")
        assert before["ActiveDate"] != "0001-01-01T00:00:00" or after["ActiveDate"][:4] == "0001"


def test_extra_fields_are_added_to_every_row_in_both_formats(simulator):
    quirk(simulator, extra_fields=True)
    client = busiest(simulator)
    rows = fetch(simulator, "OperationHistory", Client=client)["Operations"]
    assert all(row["LoyaltyLevel"] == "Золотой" for row in rows)
    response = httpx.post(
        f"{simulator.url}api/client/OperationHistory",
        json={"Client": client},
        headers={"Accept": "application/xml"},
    )
    assert "<LoyaltyLevel>Золотой</LoyaltyLevel><OrderId" in response.text


def test_an_informational_message_has_error_code_zero(simulator):
    quirk(simulator, informational_message=True)
    response = fetch(simulator, "OperationHistory", Client=busiest(simulator))
    assert response["ErrorCode"] == 0
    assert response["Message"]
    assert response["Operations"]


def test_list_favourites_always_returns_the_goods_without_an_offer(simulator):
    quirk(simulator, list_favourites_always=True)
    client = busiest(simulator, "offers")
    assert fetch(simulator, "ClientFavoriteDataInfo", Client=client)["ListFavorites"]


def test_an_unknown_client_is_refused_with_an_error_code_of_the_endpoint(simulator):
    codes = set()
    for endpoint in ("OperationHistory", "LeadsPagingInfo", "ClientFavoriteDataInfo"):
        response = fetch(simulator, endpoint, Client=1)
        assert response["Message"] == "Участник не найден"
        codes.add(response["ErrorCode"])
    assert len(codes) == 3
    assert 0 not in codes


def test_a_filter_of_a_wrong_type_is_silently_ignored(simulator):
    client = busiest(simulator)
    everything = fetch(simulator, "OperationHistory", Client=client)["Rows"]
    assert fetch(simulator, "OperationHistory", Client=client, Cheque="true")["Rows"] == everything
    assert fetch(simulator, "OperationHistory", Client=client, Cheque=True)["Rows"] < everything
    assert fetch(simulator, "OperationHistory", Client=str(client))["ErrorCode"] != 0


def test_operations_are_found_by_card_and_by_phone_too(simulator):
    customer = simulator.world.programme.customers[busiest(simulator)]
    by_card = fetch(simulator, "OperationHistory", Card=customer.cards[0])
    assert by_card["Client"] == customer.id
    if customer.profile.Phone:
        by_phone = fetch(simulator, "OperationHistory", Phone=customer.profile.Phone)
        assert by_phone["Client"] == customer.id


def test_the_filters_of_operations_narrow_them(simulator):
    request = {"Client": busiest(simulator), "Length": 10_000}
    bonus = fetch(simulator, "OperationHistory", Bonus=True, **request)["Operations"]
    assert all(r["ComponentType"] == 1 and r["BonusSource"] != 1 for r in bonus)
    partner = fetch(simulator, "OperationHistory", Partner=2, **request)["Operations"]
    assert {row["Pos"] for row in partner} == {204, 205}
    ordered = fetch(simulator, "OperationHistory", Cheque=True, **request)["Operations"]
    order = next(row["OrderId"] for row in ordered if row["OrderId"])
    of_order = fetch(simulator, "OperationHistory", OrderId=order, **request)["Operations"]
    assert {row["OrderId"] for row in of_order} == {order}


def profile(simulator: RunningSimulator, client: int) -> dict[str, Any]:
    return next(row for row in control(simulator, "profiles") if row["Client"] == client)


def test_an_update_ignores_omitted_null_empty_and_zero_fields(simulator):
    client = busiest(simulator)
    before = profile(simulator, client)
    nothing = {"Name": None, "Surname": "", "Gender": 0, "Email": ""}
    assert fetch(simulator, "ClientUpdate", Client=client, **nothing)["ErrorCode"] == 0
    assert profile(simulator, client) == before
    fetch(simulator, "ClientUpdate", Client=client, AllowSms=False, Birthdate="1990-05-06")
    after = profile(simulator, client)
    assert (after["AllowSms"], after["Birthdate"]) == (False, "1990-05-06")


def test_an_update_silently_truncates_long_names_and_emails(simulator):
    client = busiest(simulator)
    long_email = "a" * 60 + "@example.org"
    response = fetch(simulator, "ClientUpdate", Client=client, Surname="Я" * 25, Email=long_email)
    assert response == {"ErrorCode": 0, "Message": None}
    after = profile(simulator, client)
    assert (len(after["Surname"]), len(after["Email"])) == (20, 50)


def test_an_email_of_another_client_is_refused_with_a_message(simulator):
    client = busiest(simulator)
    others = [row for row in control(simulator, "profiles") if row["Client"] != client]
    taken = next(row["Email"] for row in others if row["Email"])
    before = profile(simulator, client)["Email"]
    response = fetch(simulator, "ClientUpdate", Client=client, Name="Олег", Email=taken)
    assert response["ErrorCode"] == 0
    assert response["Message"]
    after = profile(simulator, client)
    assert (after["Name"], after["Email"]) == ("Олег", before)


def test_updates_are_logged_in_order(simulator):
    client = busiest(simulator)
    for name in ("Первая", "Вторая"):
        fetch(simulator, "ClientUpdate", Client=client, Patronymic=name)
    log = [entry["Patronymic"] for entry in control(simulator, "updates")[-2:]]
    assert log == ["Первая", "Вторая"]


def test_other_paths_and_methods_are_not_served(simulator):
    root = simulator.control_url.removesuffix("_control/")
    assert httpx.post(f"{root}api/client/OperationHistory", json={}).status_code == 404
    assert httpx.get(f"{simulator.url}api/client/OperationHistory").status_code == 405
    form = httpx.post(f"{simulator.url}api/client/OperationHistory", data={"Client": "1"})
    assert form.status_code == 415


def test_latency_delays_responses(simulator):
    quirk(simulator, latency_ms=80)
    assert post(simulator, "OperationHistory", Client=1).elapsed.total_seconds() >= 0.08


def test_an_unknown_quirk_is_refused(simulator):
    response = httpx.post(f"{simulator.control_url}quirks", json={"no_such": 1})
    assert response.status_code == 400


def test_quirks_can_be_read_from_text():
    read = changed(Quirks(), {"totals": "-2", "max_length": "100", "zero_based": "true"})
    assert (read.totals, read.max_length, read.zero_based) == (-2, 100, True)
    assert changed(Quirks(), {"totals": "null"}).totals == "null"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(msgspec.ValidationError, match=r"no_such; known: max_length, .*latency_ms"):
        changed(Quirks(), {"no_such": "1"})
    with pytest.raises(msgspec.ValidationError, match="no_such; known: timeout, reset"):
        msgspec.convert({"kind": "no_such"}, FaultRule)


def test_a_world_can_start_at_its_first_midnight_without_clients():
    with RunningSimulator(small_config(clients=0, now=datetime(2026, 3, 1))) as empty:
        assert fetch(empty, "ClientInfoPeriod", Registration=True)["Clients"] == []
        assert empty.service.config.start == date(2026, 3, 1)
