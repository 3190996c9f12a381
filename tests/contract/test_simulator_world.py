"""The world: determined by its seed and its clock; how a programme develops day by day."""

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lcm_pipeline.simulator.moments import read_moment
from lcm_pipeline.simulator.quirks import Habits
from lcm_pipeline.simulator.world import World

START, NOW = date(2026, 3, 1), datetime(2026, 3, 15)
CHEQUE = 2


def world_of(clients: int = 150, seed: int = 3, **habits: Any) -> World:
    return World(seed, clients, start=START, now=NOW, habits=Habits(**habits))


def by_key(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(row["Client"], row["ComponentType"], row["Id"]): row for row in rows}


@pytest.fixture(scope="module")
def advanced():
    """A larger world that was advanced by three weeks, with the truth before and after."""
    world = world_of(400, merged_daily=0.01, heavy_operations=1000)
    before = world.truth()
    world.advance(days=21)
    return world, before, world.truth()


def test_the_same_seed_gives_the_same_world_and_another_seed_another():
    assert world_of().truth() == world_of().truth()
    assert world_of().truth() != world_of(seed=4).truth()


def test_the_steps_of_the_clock_do_not_matter():
    at_once, by_steps = world_of(), world_of()
    at_once.advance(datetime(2026, 3, 22, 13, 30))
    while by_steps.now < at_once.now:
        by_steps.advance(min(by_steps.now + timedelta(hours=7, minutes=11), at_once.now))
    assert by_steps.truth() == at_once.truth()


def test_a_programme_with_the_same_opening_is_the_same_on_every_day():
    opening_end = datetime(2026, 3, 8)
    worlds = {
        now: World(3, 60, start=START, now=now, opening_end=opening_end)
        for now in (datetime(2026, 3, 6), datetime(2026, 3, 8, 15, 40), NOW)
    }
    latest = worlds[NOW]
    for now, world in worlds.items():
        assert world.now == now
        world.advance(NOW)
        assert world.truth() == latest.truth()
    late = datetime(2026, 3, 6)
    assert World(3, 60, start=START, now=late).truth() != worlds[late].truth()


def test_the_clock_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        world_of().advance(datetime(2026, 3, 14))


def test_the_truth_contains_nothing_from_the_future(advanced):
    world, _, _ = advanced
    now = world.programme.agenda.now
    for entries in (c.operations for c in world.programme.customers.values()):
        assert all(entry.moment <= now for entry in entries)


def test_new_clients_register_every_few_days_as_the_clock_moves(advanced):
    _, before, after = advanced
    later = {row["RegDate"][:10] for row in after["registrations"]} - {
        row["RegDate"][:10] for row in before["registrations"]
    }
    assert len(later) >= 20


def test_some_clients_have_two_cards_and_long_card_numbers(advanced):
    _, _, truth = advanced
    cards = Counter(row["Client"] for row in truth["registrations"])
    assert set(cards.values()) == {1, 2}
    assert max(len(str(row["Card"])) for row in truth["registrations"]) == 18


def test_most_clients_have_few_operations_and_one_is_heavy(advanced):
    _, before, _ = advanced
    counts = Counter(row["Client"] for row in before["operations"])
    few = sum(5 <= number <= 30 for number in counts.values())
    assert few > len(counts) * 0.6
    assert max(counts.values()) >= 1000


def test_keys_are_unique_but_ids_collide_across_component_types(advanced):
    _, _, truth = advanced
    rows = truth["operations"]
    assert len(by_key(rows)) == len(rows)
    assert len({(row["Client"], row["Id"]) for row in rows}) < len(rows)
    assert {row["ComponentType"] for row in rows} == {1, 2, 3}


def test_every_row_has_a_key_and_a_time(advanced):
    _, _, truth = advanced
    for row in truth["operations"]:
        assert isinstance(row["Id"], int)
        assert read_moment(str(row["Proctime"])) is not None


def test_ties_and_all_fraction_lengths_occur(advanced):
    _, _, truth = advanced
    times = Counter((row["Client"], row["Proctime"]) for row in truth["operations"])
    assert sum(number > 1 for number in times.values()) > 100
    digits = {len(str(row["Proctime"]).partition(".")[2]) for row in truth["operations"]}
    assert digits == set(range(8))
    assert any(str(row["Proctime"]).endswith("23:59:59.9999999") for row in truth["operations"])


def test_money_is_decimal_with_two_places(advanced):
    _, _, truth = advanced
    sums = [row["Amount"] for row in truth["operations"] if row["Amount"] is not None]
    assert sums
    assert all(isinstance(amount, Decimal) for amount in sums)
    assert {amount.as_tuple().exponent for amount in sums} == {-2}


def test_texts_are_sometimes_null_and_sometimes_empty(advanced):
    _, _, truth = advanced
    names = [row["PosName"] for row in truth["operations"]]
    assert None in names
    assert "" in names
    unset = {row["ExpiryDate"] for row in truth["operations"]}
    assert {None, "0001-01-01T00:00:00"} <= unset


def test_refunds_are_separate_cheques_with_either_sign(advanced):
    _, _, truth = advanced
    rows = [row for row in truth["operations"] if row["Refund"] is True]
    assert all(row["ComponentType"] == CHEQUE and row["Parent"] for row in rows)
    assert {row["Amount"] > 0 for row in rows} == {True, False}


def test_lots_activate_and_expire_without_a_new_row(advanced):
    _, before, after = advanced
    earlier, later = by_key(before["operations"]), by_key(after["operations"])
    common = earlier.keys() & later.keys()
    assert any(later[key]["Active"] and not earlier[key]["Active"] for key in common)
    assert any(earlier[key]["Active"] and later[key]["Active"] is False for key in common)
    assert any(later[key]["Remain"] != earlier[key]["Remain"] for key in common)


def test_some_rows_are_a_day_or_two_late():
    world = world_of(400, late=0.5, merged_daily=0)
    seen = set(by_key(world.truth()["operations"]))
    world.advance(days=0.5)
    new = [row for key, row in by_key(world.truth()["operations"]).items() if key not in seen]
    noon_before = "2026-03-14T12:00:00"
    late = [row for row in new if str(row["Proctime"]) < noon_before]
    assert late
    assert min(str(row["Proctime"]) for row in late) >= "2026-03-13"


def test_cancelled_cheques_vanish_with_their_bonuses():
    world = world_of(300, cancelled=0.3, merged_daily=0)
    before = by_key(world.truth()["operations"])
    world.advance(days=5)
    gone = before.keys() - by_key(world.truth()["operations"]).keys()
    cheques = {number for _, kind, number in gone if kind == CHEQUE}
    assert cheques
    left = world.truth()["operations"]
    assert not [row for row in left if row["ComponentType"] == 1 and row["ChequeId"] in cheques]


def test_a_merge_moves_all_operations_to_the_other_client(advanced):
    world, _, _ = advanced
    merged = [c for c in world.programme.customers.values() if c.heir is not None]
    assert merged
    assert all(len(customer.operations) == 0 for customer in merged)
    assert any(len(customer.present().operations) for customer in merged)


def test_leads_keep_their_number_and_change_everything_else(advanced):
    _, before, after = advanced
    assert len({row["Leads"] for row in after["leads"]}) == len(after["leads"])
    assert len({row["Id"] for row in after["leads"]}) < 10
    earlier = {row["Leads"]: row for row in before["leads"]}
    assert any(
        earlier[row["Leads"]]["LeadStatusName"] != row["LeadStatusName"]
        for row in after["leads"]
        if row["Leads"] in earlier
    )


def test_card_statuses_of_old_registrations_change(advanced):
    _, before, after = advanced
    earlier = {row["Card"]: row["Card_Status"] for row in before["registrations"]}
    assert any(
        earlier[row["Card"]] != row["Card_Status"]
        for row in after["registrations"]
        if row["Card"] in earlier
    )


def test_the_numbers_above_favourites_agree_with_the_offers(advanced):
    _, _, truth = advanced
    offers = Counter(row["Client"] for row in truth["favourite_offers"])
    confirmed = Counter(row["Client"] for row in truth["favourite_offers"] if row["Confirm"])
    for row in truth["favourite_stats"]:
        assert row["CountOffer"] == offers[row["Client"]]
        assert row["CountConfirm"] == confirmed[row["Client"]]
    assert any(row["SumGain"] > 0 for row in truth["favourite_stats"])


def test_bad_rows_exist_only_if_enabled_and_are_listed():
    assert world_of().truth()["bad_rows"] == []
    truth = world_of(bad_rows=0.1).truth()
    bad = truth["bad_rows"]
    assert len(bad) > 20
    assert any("Id" not in row for row in bad)
    assert any(row["ComponentType"] == 300 for row in bad)
    assert all(row in truth["operations"] for row in bad)
    assert any("Cashier" in row and row not in bad for row in truth["operations"])


def test_phones_are_ten_digits_on_nine():
    phones = [row["Phone"] for row in world_of().profile_rows() if row["Phone"]]
    assert all(9_000_000_000 <= phone <= 9_999_999_999 for phone in phones)
    assert len(set(phones)) == len(phones)
