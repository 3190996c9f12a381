"""The hand-made cases that a mart can get wrong."""

from decimal import Decimal

from lcm_pipeline.simulator.customers import Customer
from tests.marts.author import CHEMIST, COFFEE, STORES, Author, store_fields


def write_hard_edges(author: Author) -> None:
    """Write the cases that a mart can get wrong, in a programme at the end of 2026-03-10."""
    two_cards = author.client(
        1001, "2026-01-31T23:59:59.9999999",
        [{"Card": 770000000000000001, "RegPos": None},
         {"Card": 770000000000000002, "Virtual": True, "Card_Type": "Виртуальная"}],
    )  # fmt: skip
    midnight = author.client(
        1002, "2026-02-01T00:00:00", [{"Card": 770000000000000003, "Virtual": True}]
    )
    twin = author.client(1003, "2026-02-14T12:00:00", [{"Card": 770000000000000004}])
    other_twin = author.client(
        1004, "2026-02-14T12:00:00",
        [{"Card": 770000000000000005, "RegPos": CHEMIST, "RegPosName": STORES[CHEMIST],
          "Card_Status": "Заблокирована"}],
    )  # fmt: skip
    author.client(1005, "2026-03-10T23:59:59", [{"Card": 770000000000000006}])
    _write_points(author, two_cards, midnight)
    _write_twins(author, twin, other_twin)
    _write_favourites(author, two_cards, midnight)
    _write_leads(author, two_cards, midnight)


def _write_points(author: Author, two_cards: Customer, midnight: Customer) -> None:
    # The last tick of February, with an order of the same number and a bonus that repeats the sum.
    author.cheque(two_cards, 501, "2026-02-28T23:59:59.9999999", "1000.00", Added=Decimal("50.00"),
                  OrderId=501, Discount=Decimal("20.50"), CouponNumber="C-1")  # fmt: skip
    author.order(two_cards, 501, "2026-02-28T23:29:59", "1000.00")
    # Expires without a row at noon of the last day; 30 of the 50 points were redeemed.
    spent = author.lot(two_cards, 501, "2026-02-28T23:59:59.9999999", "50.00", ChequeId=501,
               Amount=Decimal("1000.00"), starts="2026-03-01T00:00:00", ends="2026-03-10T12:00:00",
               Remain=Decimal("0.00"), Active=False, **store_fields(COFFEE))  # fmt: skip
    author.moves("redeemed", "2026-03-01T00:00:00", "-30.00", spent)
    author.moves("expired", "2026-03-10T12:00:00", "-20.00", spent)
    author.cheque(two_cards, 502, "2026-03-01T00:00:00", "300.10", Redeemed=Decimal("30.00"),
                  SertRedeemed=Decimal("100.00"), **store_fields(CHEMIST))  # fmt: skip
    # A lot that expired with a row, and points that start in the future or never end.
    burnt = author.lot(two_cards, 601, "2026-02-10T10:00:00", "15.00", BonusSource=4,
               starts="2026-02-10T10:00:00", ends="2026-03-05T00:00:00", Remain=Decimal("0.00"),
               Active=False)  # fmt: skip
    author.moves("expired", "2026-03-05T00:00:00", "-15.00", burnt)
    author.lot(two_cards, 602, "2026-03-05T00:00:00", "-15.00", BonusSource=7, Parent=601,
               Remain=None, Active=None)  # fmt: skip
    author.lot(two_cards, 603, "2026-03-10T23:59:59.9999999", "12.34", BonusSource=2,
               starts="2026-03-11T00:00:00", ends="2026-03-11T00:00:00", Active=False)  # fmt: skip
    author.lot(two_cards, 604, "2026-03-09T08:00:00", "7.00", BonusSource=12)
    # An operator takes points away.
    taken = author.lot(midnight, 605, "2026-02-02T08:00:00", "100.00", BonusSource=3,
               ends="2026-04-09T23:59:59", Remain=Decimal("60.00"))  # fmt: skip
    author.moves("corrected", "2026-02-03T08:00:00", "-40.00", taken)
    author.lot(midnight, 606, "2026-02-03T08:00:00", "-40.00", BonusSource=3, Remain=None)
    # Refunds of either sign; the first claws points back.
    author.cheque(midnight, 503, "2026-02-20T10:00:00", "800.00", Refund=None)
    clawed = author.lot(midnight, 503, "2026-02-20T10:00:00", "40.00", ChequeId=503,
                        Remain=Decimal("0.00"), ends="2026-08-20T10:00:00",
                        **store_fields(COFFEE))  # fmt: skip
    author.moves("clawed_back", "2026-03-02T10:00:00", "-40.00", clawed)
    author.cheque(midnight, 504, "2026-03-02T10:00:00", "-800.00", Refund=True, Parent=503)
    author.cheque(midnight, 505, "2026-03-02T11:00:00", "250.00", **store_fields(CHEMIST))
    author.cheque(midnight, 506, "2026-03-03T11:00:00", "250.00", Refund=True, Parent=505,
                  **store_fields(CHEMIST))  # fmt: skip
    # A cheque without a row of its own: only its bonus has its number.
    author.lot(midnight, 607, "2026-03-04T11:00:00", "5.00", ChequeId=507, Active=False)


def _write_twins(author: Author, twin: Customer, other_twin: Customer) -> None:
    """Write two clients that differ only in the numbers of their cheques."""
    for number, customer in ((510, twin), (520, other_twin)):
        author.cheque(customer, number, "2026-02-14T13:00:00", "500.00")
        author.cheque(customer, number + 1, "2026-03-06T13:00:00", "500.00")


def _write_favourites(author: Author, two_cards: Customer, midnight: Customer) -> None:
    author.offer(two_cards, 71, "2026-02-27T10:00:00", [5000, 5007], Confirm=True,
                 ConfirmDateEnd="2026-03-02T00:00:00", ProcTimeConfirm="2026-03-01T00:30:00",
                 ActionDateEnd="2026-03-11T00:00:00")  # fmt: skip
    author.offer(midnight, 72, "2026-02-27T10:00:00", [5000], Confirm=True,
                 ConfirmDateEnd="2026-03-02T00:00:00", ProcTimeConfirm="2026-02-27T12:00:00",
                 ActionDateEnd="2026-03-06T00:00:00", NoActive=True)  # fmt: skip
    author.offer(midnight, 73, "2026-03-08T10:00:00", [5014], ConfirmDateEnd="2026-03-11T00:00:00")
    author.offer(midnight, 74, "2026-03-09T10:00:00", [5014], ConfirmDateEnd="2026-03-15T00:00:00")
    author.choose(two_cards, 5000)
    author.choose(midnight, 5000, 2)


def _write_leads(author: Author, two_cards: Customer, midnight: Customer) -> None:
    author.lead(two_cards, 41, "2026-03-01T00:00:00", LeadStatusName="Закрыто",
                LeadMarkName="Отлично")  # fmt: skip
    author.lead(two_cards, 42, "2026-03-09T23:59:59.9999999", CountNotReadMessage=3)
    author.lead(midnight, 43, "2026-03-09T23:59:59.9999999", LeadStatusName="", LeadMarkName="")
    author.lead(midnight, 44, "2026-03-10T12:00:00", LeadTypeName=None, CountNotReadMessage=None)
