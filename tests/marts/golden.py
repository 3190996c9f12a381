"""Golden answers: the expected contents of the marts, computed in pandas from the programme's data.

Written only from the definitions. Days come from the naive Moscow text of the programme, kinds of
operations from the simulator's ComponentType, and no SQL is shared with the product.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any

import pandas as pd

from lcm_pipeline.simulator.bonuses import BONUS, CHEQUE
from lcm_pipeline.simulator.catalogue import BURNT, FRIENDS_PURCHASE
from lcm_pipeline.simulator.moments import date_of
from lcm_pipeline.simulator.programme import Flow

Rows = list[dict[str, Any]]
ZERO = Decimal(0)


def moment_of(text: Any) -> datetime | None:
    """Parse a naive Moscow moment, truncated to microseconds; the unset date gives None."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    seconds, _, fraction = text.partition(".")
    micro = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return datetime.fromisoformat(seconds) + timedelta(microseconds=micro)


def day_of(text: Any) -> date | None:
    """The Moscow day of a moment."""
    moment = moment_of(text)
    return moment.date() if moment else None


def month_of(day: date) -> date:
    """The first day of the month."""
    return day.replace(day=1)


def months_between(first: date, last: date) -> list[date]:
    """The first days of all months from one day to another."""
    return [stamp.date() for stamp in pd.date_range(month_of(first), last, freq="MS")]


def month_end(month: date) -> date:
    """The last day of a month."""
    return (pd.Timestamp(month) + pd.offsets.MonthEnd(0)).date()


def rounded(value: Any, digits: int) -> Decimal | None:
    """Round half up, as for money."""
    if value is None:
        return None
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def share(part: Any, whole: Any, digits: int = 4) -> Decimal | None:
    """part / whole; None if the whole is zero or None."""
    return rounded(Decimal(part) / Decimal(whole), digits) if whole else None


def total(values: Iterable[Any]) -> Decimal:
    """The sum of the values that are not None."""
    return sum((value for value in values if value is not None), ZERO)


@dataclass(frozen=True)
class Golden:
    """The data of a programme as of the end of a day.

    flows: what really happened to its lots, independently of the rows.
    """

    truth: dict[str, list[dict[str, Any]]]
    last: date
    flows: list[Flow] = field(default_factory=list)

    @cached_property
    def cheques(self) -> pd.DataFrame:
        """One row per cheque through the last day."""
        best: dict[int, dict[str, Any]] = {}
        for row in self.truth["operations"]:
            key = row["ChequeId"]
            if row["BonusSource"] == FRIENDS_PURCHASE:
                continue
            is_better = key not in best or (
                best[key]["ComponentType"] != CHEQUE and row["ComponentType"] == CHEQUE
            )
            if row["ChequeId"] is not None and is_better:
                best[key] = row
        rows = [
            {
                "client": row["Client"],
                "cheque": row["ChequeId"],
                "moment": row["Proctime"],
                "day": day_of(row["Proctime"]),
                "pos": row["Pos"],
                "partner": row["PartnerName"],
                "refund": row["Refund"] is True,
                "amount": row["Amount"] or ZERO,
                "net": -abs(row["Amount"] or ZERO) if row["Refund"] else row["Amount"] or ZERO,
                "redeemed": row["Redeemed"] or ZERO,
                "discount": row["Discount"] or ZERO,
                "certificate": row["SertRedeemed"] or ZERO,
                "coupon": bool(row["CouponNumber"]),
            }
            for row in best.values()
        ]
        frame = pd.DataFrame(rows, dtype=object)
        return frame[frame["day"] <= self.last].reset_index(drop=True)

    @cached_property
    def purchases(self) -> pd.DataFrame:
        """The cheques that are not refunds, in order of time."""
        found = self.cheques[~self.cheques["refund"].astype(bool)]
        return found.sort_values(["client", "moment", "cheque"], key=_sortable)

    @cached_property
    def lots(self) -> pd.DataFrame:
        """The lots given through the last day."""
        rows = [
            {
                "client": row["Client"],
                "lot": row["Id"],
                "day": day_of(row["Proctime"]),
                "source": row["BonusSource"],
                "cheque": row["ChequeId"],
                "pos": row["Pos"],
                "partner": row["PartnerName"],
                "added": row["Added"],
                "remain": row["Remain"] or ZERO,
                "blocked": row["Active"] is False,
                "starts": day_of(row["ActiveDate"]) or day_of(row["Proctime"]),
                "ends": day_of(row["ExpiryDate"]) or date.max,
            }
            for row in self.truth["operations"]
            if row["ComponentType"] == BONUS and (row["Added"] or ZERO) > 0
        ]
        frame = pd.DataFrame(rows, dtype=object)
        return frame[frame["day"] <= self.last].reset_index(drop=True)

    @cached_property
    def members(self) -> pd.DataFrame:
        """One row per client of the roster."""
        rows = [r for r in self.truth["registrations"] if day_of(r["RegDate"]) <= self.last]
        found = []
        for client, cards in pd.DataFrame(rows, dtype=object).groupby("Client"):
            cards = cards.sort_values(["RegDate", "Card"])
            first, newest = cards.iloc[0], cards.iloc[-1]
            found.append(
                {
                    "client": client,
                    "day": day_of(first["RegDate"]),
                    "pos": first["RegPos"],
                    "virtual": first["Virtual"] is True,
                    "type": newest["Card_Type"],
                }
            )
        return pd.DataFrame(found, dtype=object)

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The real movements of each lot through the last day."""
        rows = [
            {"lot": flow.lot.row["Id"], "day": date_of(flow.moment), "kind": flow.kind,
             "points": flow.points}
            for flow in self.flows
        ]  # fmt: skip
        frame = pd.DataFrame(rows, dtype=object)
        return frame[frame["day"] <= self.last]

    def outstanding(self, day: date) -> pd.DataFrame:
        """The lots with points left at the end of a day, and how many were left."""
        left = self.moved[self.moved["day"] <= day].groupby("lot")["points"].sum()
        lots = self.lots.assign(remain=[left.get(lot, ZERO) for lot in self.lots["lot"]])
        return lots[lots["remain"] > 0]

    def points(self) -> dict[tuple[date, str], Decimal]:
        """The real movements by month and kind; points given are positive, taken negative."""
        months = self.moved.assign(month=self.moved["day"].map(month_of))
        return {key: total(found["points"]) for key, found in months.groupby(["month", "kind"])}

    def conventions(self) -> dict[str, list[int]]:
        """The counts that show each convention, in the order of its evidence in the mart."""
        rows = self.truth["operations"]
        bonuses = [row for row in rows if row["ComponentType"] == BONUS]
        burns = [row for row in bonuses if row["BonusSource"] == BURNT]
        given = [row for row in bonuses if row not in burns and (row["Added"] or 0) > 0]
        named = {(row["Client"], row["ChequeId"]) for row in given}
        gifts = {
            (row["Client"], day_of(row["Proctime"]), row["Added"])
            for row in given
            if row["ChequeId"] is None
        }
        cheques = [row for row in rows if row["ComponentType"] == CHEQUE]
        refunds = [row for row in cheques if row["Refund"] is True]
        negative = [row for row in cheques if row not in refunds and (row["Amount"] or 0) < 0]
        telling = [
            row for row in cheques
            if row not in refunds and row not in negative and (row["Added"] or 0) > 0
        ]  # fmt: skip
        alone = [row for row in telling if (row["Client"], row["ChequeId"]) not in named]
        twins = [
            row for row in alone
            if (row["Client"], day_of(row["Proctime"]), row["Added"]) in gifts
        ]  # fmt: skip
        signs = [(row["Added"] or 0) > 0 for row in refunds if row["Added"]]
        counts = [
            sum((row["Added"] or 0) < 0 for row in burns),
            sum((row["Added"] or 0) > 0 for row in burns),
            sum((row["Redeemed"] or 0) != 0 for row in burns),
        ]
        return {
            "cheque_points": [
                len(telling), len(telling) - len(alone), len(twins), len(alone) - len(twins),
            ],
            "refund_points": [
                len(refunds), sum(signs), len(signs) - sum(signs), len(refunds) - len(signs),
            ],
            "negative_amounts": [len(negative), sum(bool(row["Parent"]) for row in negative)],
            "burns": [len(burns), *counts, 0],
        }  # fmt: skip

    def pending(self, lots: pd.DataFrame, day: date) -> pd.Series:
        """Whether each of these lots is blocked, or has not started, at the end of a day."""
        live = lots["ends"] > self.last
        return (lots["blocked"].astype(bool) & live) | (lots["starts"] > day)

    def days(self, first: date) -> list[date]:
        """All days from one to the last."""
        return [stamp.date() for stamp in pd.date_range(first, self.last)]

    def program_daily(self) -> Rows:
        """By day."""
        rows: Rows = []
        began = min(rows["day"].min() for rows in (self.members, self.cheques, self.lots))
        for day in self.days(began):
            cheques = self.cheques[self.cheques["day"] == day]
            bought = cheques[~cheques["refund"].astype(bool)]
            lots = self.lots
            left = self.outstanding(day)
            waiting = self.pending(left, day)
            starts = lots[["starts", "day"]].max(axis=1)
            rows.append(
                {
                    "day": day,
                    "new_members": (self.members["day"] == day).sum(),
                    "members": (self.members["day"] <= day).sum(),
                    "points_added": total(lots[lots["day"] == day]["added"]),
                    "points_redeemed": -self._points_on(day, "redeemed"),
                    "points_expired": -self._points_on(day, "expired"),
                    "points_activated": total(lots[starts == day]["added"]),
                    "active_balance": total(left[~waiting]["remain"]),
                    "pending_balance": total(left[waiting]["remain"]),
                    "balance_observed_date": self.last,
                    "purchases": len(bought),
                    "net_sales": total(cheques["net"]),
                    "buyers": bought["client"].nunique(),
                }
            )
        return rows

    def _points_on(self, day: date, kind: str) -> Decimal:
        here = self.moved[(self.moved["day"] == day) & (self.moved["kind"] == kind)]
        return total(here["points"])

    def points_liability_daily(self) -> Rows:
        """With a point worth 1, and an expected breakage of 0.2."""
        rows: Rows = []
        for day in self.days(self.lots["day"].min()):
            left = self.outstanding(day)
            months = left["ends"].map(lambda end: None if end == date.max else month_of(end))
            for (source, month), lots in _groups(left.assign(month=months), "source", "month"):
                points = total(lots["remain"])
                waiting = total(lots[self.pending(lots, day)]["remain"])
                rows.append(
                    {
                        "day": day,
                        "bonus_source": source,
                        "expiry_month": month,
                        "lots": len(lots),
                        "active_points": points - waiting,
                        "pending_points": waiting,
                        "outstanding_points": points,
                        "outstanding_value": points,
                        "expected_points": rounded(points * Decimal("0.8"), 2),
                        "expected_value": rounded(points * Decimal("0.8"), 2),
                        "observed_date": self.last,
                        "method": "read" if day == self.last else "rolled back",
                    }
                )
        return rows

    def points_expiring(self) -> Rows:
        """In the 90 days after the last."""
        rows: Rows = []
        left = self.outstanding(self.last)
        soon = left[left["ends"].map(lambda end: end <= self.last + timedelta(90))]
        for (client, ends), lots in _groups(soon, "client", "ends"):
            days = (ends - self.last).days
            rows.append(
                {
                    "as_of_date": self.last,
                    "client_id": client,
                    "expiry_date": ends,
                    "days_left": days,
                    "horizon_days": min(h for h in (7, 30, 60, 90) if days <= h),
                    "points": total(lots["remain"]),
                    "points_value": total(lots["remain"]),
                }
            )
        return rows

    def points_vintage(self) -> Rows:
        """By issue month and age."""
        rows: Rows = []
        issued_in = self.lots["day"].map(month_of)
        for issue in sorted(set(issued_in)):
            lots = self.lots[issued_in == issue]
            for age, month in enumerate(months_between(issue, self.last)):
                day = min(month_end(month), self.last)
                left = self.outstanding(day)
                left = left[left["day"].map(month_of) == issue]
                rows.append(
                    {
                        "issue_month": issue,
                        "age_months": age,
                        "as_of_date": day,
                        "issued": total(lots["added"]),
                        "open_points": total(left["remain"]),
                        "open_share": share(total(left["remain"]), total(lots["added"])),
                        "matured": total(lots[lots["ends"] <= day]["added"]),
                        "expired": -self._points_of(lots, day, "expired"),
                        "clawed_back": -self._points_of(lots, day, "clawed_back"),
                    }
                )
        return rows

    def _points_of(self, lots: pd.DataFrame, day: date, kind: str) -> Decimal:
        moved = self.moved[(self.moved["day"] <= day) & (self.moved["kind"] == kind)]
        return total(moved[moved["lot"].isin(set(lots["lot"]))]["points"])

    def redemption(self) -> Rows:
        """By month and store."""
        cheques = self.cheques.assign(month=self.cheques["day"].map(month_of))
        lots = self.lots.assign(month=self.lots["day"].map(month_of))
        used = self.purchases[self.purchases["redeemed"] > 0].drop_duplicates("client")
        joined = dict(zip(self.members["client"], self.members["day"], strict=True))
        rows: Rows = []
        keys = {_key(r, "month", "pos") for frame in (cheques, lots) for r in _records(frame)}
        for month, pos in keys:
            here = _where(cheques, month=month, pos=pos)
            bought = here[~here["refund"].astype(bool)]
            added = total(_where(lots, month=month, pos=pos)["added"])
            buyers = bought["client"].nunique()
            redeemers = bought[bought["redeemed"] > 0]["client"].nunique()
            firsts = [
                (row["day"] - joined[row["client"]]).days
                for row in _records(used)
                if (month_of(row["day"]), _none(row["pos"])) == (month, pos)
            ]
            rows.append(
                {
                    "month": month,
                    "pos_id": pos,
                    "points_added": added,
                    "points_redeemed": total(here["redeemed"]),
                    "redemption_rate": share(total(here["redeemed"]), added),
                    "buyers": buyers,
                    "redeemers": redeemers,
                    "redeemer_rate": share(redeemers, buyers),
                    "first_redeemers": len(firsts),
                    "registered_first_redeemers": len(firsts),
                    "days_to_first_redemption": share(sum(firsts), len(firsts), 2),
                    "is_whole_month": month_end(month) <= self.last,
                }
            )
        return rows

    def client_360(self) -> Rows:
        """By member."""
        rows: Rows = []
        left = self.outstanding(self.last)
        for client in self.members["client"]:
            cheques = self.cheques[self.cheques["client"] == client]
            bought = self.purchases[self.purchases["client"] == client]
            lots = left[left["client"] == client]
            later = lots["starts"].map(lambda start: start > self.last).astype(bool)
            blocked = lots["blocked"].astype(bool) & ~later
            soon = lots["ends"].map(lambda end: end <= self.last + timedelta(30)).astype(bool)
            leads = [r for r in self._leads() if r["Client"] == client]
            offers = [r for r in self._offers() if r["Client"] == client]
            chosen = [r for r in self.truth["favourite_groups"] if r["Client"] == client]
            used = bought[bought["redeemed"] > 0]
            rows.append(
                {
                    "client_id": client,
                    "as_of_date": self.last,
                    "registration_date": self.members.set_index("client")["day"][client],
                    "first_purchase_date": bought["day"].min() if len(bought) else None,
                    "last_purchase_date": bought["day"].max() if len(bought) else None,
                    "purchases": len(bought),
                    "refunds": int(cheques["refund"].sum()),
                    "net_sales": total(cheques["net"]),
                    "average_cheque": share(total(bought["amount"]), len(bought), 2),
                    "active_points": total(lots[~later & ~blocked]["remain"]),
                    "pending_points": total(lots[later]["remain"]),
                    "blocked_points": total(lots[blocked]["remain"]),
                    "expiring_points_30_days": total(lots[soon]["remain"]),
                    "last_redemption_date": used["day"].max() if len(used) else None,
                    "active_favourites": sum(self._works(offer, self.last) for offer in offers),
                    "chosen_goods": len(chosen),
                    "open_leads": sum(
                        lead["LeadStatusName"] not in ("Решено", "Закрыто") for lead in leads
                    ),
                }
            )
        return rows

    def client_stores(self) -> Rows:
        """By client and store that is known; the main one is the best of the client."""
        rows: Rows = []
        known = self.purchases[self.purchases["pos"].notna()]
        for client, bought in known.groupby("client"):
            stores = {
                pos: (len(cheques), cheques["day"].max(), -pos)
                for pos, cheques in bought.groupby("pos")
            }
            main = max(stores, key=lambda pos: stores[pos])
            for pos, cheques in bought.groupby("pos"):
                rows.append(
                    {
                        "client_id": client,
                        "pos_id": pos,
                        "first_purchase_date": cheques["day"].min(),
                        "last_purchase_date": cheques["day"].max(),
                        "purchases": len(cheques),
                        "purchase_amount": total(cheques["amount"]),
                        "is_main": pos == main,
                    }
                )
        return rows

    def rfm(self) -> Rows:
        """Scores by counting how many clients are strictly worse."""
        found = []
        for client, bought in self.purchases.groupby("client"):
            cheques = self.cheques[self.cheques["client"] == client]
            since = self.last - timedelta(365)
            found.append(
                (
                    client,
                    (self.last - bought["day"].max()).days,
                    int((bought["day"] > since).sum()),
                    total(cheques[cheques["day"] > since]["net"]),
                )
            )

        def score(worse: int) -> int:
            return 1 + sum(Decimal(worse) / len(found) >= Decimal(n) / 5 for n in range(1, 5))

        return [
            {
                "client_id": client,
                "as_of_date": self.last,
                "recency_days": recency,
                "frequency": frequency,
                "monetary": monetary,
                "recency_score": score(sum(other[1] > recency for other in found)),
                "frequency_score": score(sum(other[2] < frequency for other in found)),
                "monetary_score": score(sum(other[3] < monetary for other in found)),
            }
            for client, recency, frequency, monetary in found
        ]

    def cohort_retention(self) -> Rows:
        """By registration month and months since."""
        rows: Rows = []
        joined = self.members["day"].map(month_of)
        for cohort in sorted(set(joined)):
            members = set(self.members[joined == cohort]["client"])
            so_far = ZERO
            for number, month in enumerate(months_between(cohort, self.last)):
                cheques = self.cheques[
                    self.cheques["client"].isin(members)
                    & (self.cheques["day"].map(month_of) == month)
                ]
                buyers = cheques[~cheques["refund"].astype(bool)]["client"].nunique()
                so_far += total(cheques["net"])
                rows.append(
                    {
                        "cohort_month": cohort,
                        "month_number": number,
                        "members": len(members),
                        "buyers": buyers,
                        "retention": share(buyers, len(members)),
                        "net_sales": total(cheques["net"]),
                        "cumulative_net_sales_per_member": share(so_far, len(members), 2),
                        "is_whole_month": month_end(month) <= self.last,
                    }
                )
        return rows

    def activity_monthly(self) -> Rows:
        """By client and month."""
        days = {
            client: sorted(set(bought["day"]))
            for client, bought in self.purchases.groupby("client")
        }
        counts: dict[Any, dict[str, int]] = {}
        for month in months_between(self.members["day"].min(), self.last):
            end = min(month_end(month), self.last)
            for member in _records(self.members[self.members["day"] <= end]):
                mine = [day for day in days.get(member["client"], []) if day <= end]
                before = [day for day in mine if day < month]
                idle = (end - mine[-1]).days if mine else 10**6
                was_idle = (month - timedelta(1) - before[-1]).days if before else 10**6
                steps = pairwise(mine)
                came_back = any(b >= month and (b - a).days >= 90 for a, b in steps)
                key = (month, end, _none(member["pos"]), _none(member["type"]))
                row = counts.setdefault(key, dict.fromkeys(_ACTIVITY, 0))
                bands = (True, idle < 30, idle < 90, idle < 365, was_idle < 90 <= idle, came_back)
                for name, is_so in zip(_ACTIVITY, bands, strict=True):
                    row[name] += is_so
        return [
            {
                "month": key[0],
                "as_of_date": key[1],
                "pos_id": key[2],
                "card_type": key[3],
                "is_whole_month": month_end(key[0]) <= self.last,
                **row,
            }
            for key, row in counts.items()
        ]

    def repeat_purchase(self) -> Rows:
        """By month with a purchase."""
        gaps: dict[date, list[int]] = {}
        for _, bought in self.purchases.groupby("client"):
            days = list(bought["day"])
            for earlier, later in pairwise(days):
                gaps.setdefault(month_of(later), []).append((later - earlier).days)
        rows: Rows = []
        for month, bought in self.purchases.groupby(self.purchases["day"].map(month_of)):
            counts = bought.groupby("client").size()
            net = total(self.cheques[self.cheques["day"].map(month_of) == month]["net"])
            rows.append(
                {
                    "month": month,
                    "buyers": len(counts),
                    "repeat_buyers": int((counts >= 2).sum()),
                    "repeat_share": share(int((counts >= 2).sum()), len(counts)),
                    "purchases": len(bought),
                    "frequency": share(len(bought), len(counts)),
                    "median_gap_days": pd.Series(gaps[month]).median() if month in gaps else None,
                    "net_sales": net,
                    "arppu": share(net, len(counts), 2),
                    "members": int((self.members["day"] <= month_end(month)).sum()),
                    "arpu": share(net, int((self.members["day"] <= month_end(month)).sum()), 2),
                    "is_whole_month": month_end(month) <= self.last,
                    "average_cheque": share(total(bought["amount"]), len(bought), 2),
                }
            )
        return rows

    def enrolment_daily(self) -> Rows:
        """By registration day and store."""
        first = {client: min(found["day"]) for client, found in self.purchases.groupby("client")}
        rows: Rows = []
        for (day, pos), members in _groups(self.members, "day", "pos"):
            waits = [
                max(0, (first[client] - day).days)
                for client in members["client"]
                if client in first
            ]
            rows.append(
                {
                    "day": day,
                    "pos_id": pos,
                    "enrolments": len(members),
                    "virtual_enrolments": int(members["virtual"].sum()),
                    "virtual_share": share(int(members["virtual"].sum()), len(members)),
                    "bought": sum(wait <= 30 for wait in waits),
                    "bought_share": share(sum(wait <= 30 for wait in waits), len(members)),
                    "days_to_first_purchase": share(sum(waits), len(waits), 2),
                    "is_mature": day + timedelta(30) <= self.last,
                }
            )
        return rows

    def store_daily(self) -> Rows:
        """By day, partner and store."""
        names = ("day", "partner", "pos")
        keys = {_key(r, *names) for frame in (self.cheques, self.lots) for r in _records(frame)}
        rows: Rows = []
        for day, partner, pos in keys:
            here = _where(self.cheques, day=day, partner=partner, pos=pos)
            bought = here[~here["refund"].astype(bool)]
            back = here[here["refund"].astype(bool)]
            lots = _where(self.lots, day=day, partner=partner, pos=pos)
            rows.append(
                {
                    "day": day,
                    "partner_name": partner,
                    "pos_id": pos,
                    "purchases": len(bought),
                    "net_sales": total(here["net"]),
                    "average_cheque": share(total(bought["amount"]), len(bought), 2),
                    "points_added": total(lots["added"]),
                    "points_redeemed": total(here["redeemed"]),
                    "refunds": len(back),
                    "refund_amount": total(abs(amount) for amount in back["amount"]),
                    "clients": bought["client"].nunique(),
                }
            )
        return rows

    def discount_burden(self) -> Rows:
        """By day and store."""
        rows: Rows = []
        for (day, pos), bought in _groups(self.purchases, "day", "pos"):
            paid = total(bought["discount"]) + total(bought["redeemed"])
            rows.append(
                {
                    "day": day,
                    "pos_id": pos,
                    "purchase_amount": total(bought["amount"]),
                    "discount": total(bought["discount"]),
                    "redeemed_value": total(bought["redeemed"]),
                    "certificate_redeemed": total(bought["certificate"]),
                    "burden": share(paid + total(bought["certificate"]), total(bought["amount"])),
                    "coupon_uses": int(bought["coupon"].sum()),
                }
            )
        return rows

    def refunds(self) -> Rows:
        """By day and store; the points are checked in the hand-made programme."""
        rows: Rows = []
        for (day, pos), here in _groups(self.cheques, "day", "pos"):
            bought = here[~here["refund"].astype(bool)]
            back = here[here["refund"].astype(bool)]
            given_back = total(abs(amount) for amount in back["amount"])
            rows.append(
                {
                    "day": day,
                    "pos_id": pos,
                    "purchases": len(bought),
                    "refunds": len(back),
                    "refund_rate_by_count": share(len(back), len(bought)),
                    "purchase_amount": total(bought["amount"]),
                    "refund_amount": given_back,
                    "refund_rate_by_amount": share(given_back, total(bought["amount"])),
                }
            )
        return rows

    def earn_mix(self) -> Rows:
        """By day and source."""
        rows: Rows = []
        for day, lots in self.lots.groupby("day"):
            other = total(lots[lots["source"] != 1]["added"])
            for (source,), mine in _groups(lots, "source"):
                rows.append(
                    {
                        "day": day,
                        "bonus_source": source,
                        "is_from_purchases": source == 1,
                        "lots": len(mine),
                        "points": total(mine["added"]),
                        "share_of_day": share(total(mine["added"]), total(lots["added"])),
                        "share_not_from_purchases": share(other, total(lots["added"])),
                    }
                )
        return rows

    def favourite_uptake(self) -> Rows:
        """All columns except the slots, which are dated by their reading."""
        offers = self._offers()
        midnight = datetime.combine(self.last + timedelta(1), datetime.min.time())
        rows: Rows = []
        for day in self.days(min(day_of(offer["ProcTime"]) for offer in offers)):
            made = [offer for offer in offers if day_of(offer["ProcTime"]) == day]
            taken = [offer for offer in made if offer["Confirm"]]
            hours = [
                (moment_of(offer["ProcTimeConfirm"]) - moment_of(offer["ProcTime"]))
                / timedelta(hours=1)
                for offer in taken
            ]
            rows.append(
                {
                    "day": day,
                    "offered": len(made),
                    "confirmed": len(taken),
                    "missed": sum(
                        not offer["Confirm"]
                        and (moment_of(offer["ConfirmDateEnd"]) or datetime.max) <= midnight
                        for offer in made
                    ),
                    "active": sum(
                        bool(offer["Confirm"])
                        and day_of(offer["ProcTimeConfirm"]) <= day
                        and (day_of(offer["ActionDateEnd"]) or date.max) > day
                        for offer in offers
                    ),
                    "timed_confirmations": len(hours),
                    "confirmation_lag_hours": share(Decimal(sum(hours)), len(hours), 2),
                }
            )
        return rows

    def favourite_goods_monthly(self) -> Rows:
        """By good and month of confirmation."""
        chosen = {(row["Client"], row["Id"]) for row in self.truth["favourite_groups"]}
        listed: dict[tuple[int, int], Rows] = {}
        for good in self.truth["favourite_goods"]:
            listed.setdefault((good["Client"], good["ClientFavoriteId"]), []).append(good)
        works: dict[tuple[date, int], dict[int, bool]] = {}
        for offer in self._offers():
            confirmed = day_of(offer["ProcTimeConfirm"])
            if not offer["Confirm"] or confirmed > self.last:
                continue
            for good in listed.get((offer["Client"], offer["Id"]), []):
                if (offer["Client"], good["ListDataId"]) in chosen:
                    clients = works.setdefault((month_of(confirmed), good["ListDataId"]), {})
                    is_on = self._works(offer, self.last) and not good["NoActive"]
                    clients[offer["Client"]] = clients.get(offer["Client"], False) or is_on
        return [
            {
                "month": month,
                "list_data_id": good,
                "clients": len(clients),
                "still_active_share": share(sum(clients.values()), len(clients)),
                "rank": 1
                + sum(len(other) > len(clients) for key, other in works.items() if key[0] == month),
                "is_whole_month": month_end(month) <= self.last,
            }
            for (month, good), clients in works.items()
        ]

    def leads_daily(self) -> Rows:
        """By day, type, source and form."""
        names = ("LeadTypeName", "LeadSourceName", "FormName")
        groups: dict[Any, Rows] = {}
        for lead in self._leads():
            key = (day_of(lead["ProcTime"]), *(lead[name] for name in names))
            groups.setdefault(key, []).append(lead)
        rows: Rows = []
        for (day, kind, source, form), leads in groups.items():
            marks = pd.Series([x["LeadMarkName"] for x in leads if x["LeadMarkName"]], dtype=object)
            rows.append(
                {
                    "day": day,
                    "type_name": kind,
                    "source_name": source,
                    "form_name": form,
                    "leads": len(leads),
                    "unread_leads": sum((x["CountNotReadMessage"] or 0) > 0 for x in leads),
                    "unread_messages": sum(x["CountNotReadMessage"] or 0 for x in leads),
                    "marked_leads": len(marks),
                    "leads_by_mark": marks.value_counts().to_dict(),
                }
            )
        return rows

    def card_mix(self) -> Rows:
        """By day, type, status and virtual."""
        groups: dict[Any, Rows] = {}
        for row in self.truth["registrations"]:
            key = (day_of(row["RegDate"]), row["Card_Type"], row["Card_Status"], row["Virtual"])
            groups.setdefault(key, []).append(row)
        return [
            {
                "day": day,
                "card_type": kind,
                "card_status": status,
                "is_virtual": virtual,
                "cards": len(rows),
                "clients": len({row["Client"] for row in rows}),
            }
            for (day, kind, status, virtual), rows in groups.items()
            if day <= self.last
        ]

    def _leads(self) -> Rows:
        return [row for row in self.truth["leads"] if day_of(row["ProcTime"]) <= self.last]

    def _offers(self) -> Rows:
        rows = self.truth["favourite_offers"]
        return [row for row in rows if day_of(row["ProcTime"]) <= self.last]

    @staticmethod
    def _works(offer: dict[str, Any], day: date) -> bool:
        return (
            bool(offer["Confirm"])
            and not offer["NoActive"]
            and (day_of(offer["ActionDateEnd"]) or date.max) > day
        )


_ACTIVITY = (
    "members", "active_30_days", "active_90_days", "active_365_days", "lapsed", "reactivated",
)  # fmt: skip


def _sortable(column: pd.Series) -> pd.Series:
    if column.name != "moment":
        return column
    return column.map(lambda text: (moment_of(text), text))


def _none(value: Any) -> Any:
    return None if value is None or value is pd.NA or value != value else value


def _records(frame: pd.DataFrame) -> Rows:
    return frame.to_dict("records")


def _key(row: dict[Any, Any], *names: str) -> tuple[Any, ...]:
    return tuple(_none(row[name]) for name in names)


def _where(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    found = frame
    for name, value in values.items():
        found = found[found[name].isna() if value is None else found[name] == value]
    return found


def _groups(frame: pd.DataFrame, *names: str) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Group by columns; null is a value like any other."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(_records(frame)):
        places.setdefault(_key(row, *names), []).append(place)
    return [(key, frame.iloc[rows]) for key, rows in places.items()]
