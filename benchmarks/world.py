"""The programme that the benchmark reads: every row is made from the seed when it is requested.

Nothing is stored, so a hundred thousand clients take no memory; a row costs a microsecond or two.
Rows depend only on their numbers: operations are ordered newest first, no two operations of a
client have the same time, and the goods of an offer are in the same response, so that they need no
further requests.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

FIRST_CLIENT = 1_000_001
# The distance between the operation ids of two clients.
_OPERATIONS_APART = 1_000_000
_DAY = 86_400

_OPERATION = (
    b'{"Id":%d,"Pos":%d,"BonusId":%s,"ChequeId":%s,"PartnerName":"Partner %d","PosName":"Store %d",'
    b'"Amount":%d.%02d,"Added":%d.%02d,"Redeemed":0.00,"Refund":false,"Proctime":"%s",'
    b'"Discount":0.00,"SertRedeemed":0.00,"CouponNumber":null,"BonusSourceName":"Purchase",'
    b'"ComponentType":%d,"BonusSource":1,"ChequeNumber":"%d","Active":true,"ActiveDate":"%s",'
    b'"ExpiryDate":"2027-12-31T00:00:00","Remain":%d.%02d,"Parent":null,"OrderId":null}'
)
_LEAD = (
    b'{"Id":%d,"Leads":%d,"ProcTime":"%s","LeadSourceName":"Site","LeadStatusName":"New",'
    b'"LeadTypeName":"Question","FormName":"Contact","Subject":"Subject %d","LeadMarkName":null,'
    b'"CountNotReadMessage":%d}'
)
_OFFER = (
    b'{"Id":%d,"ProcTime":"%s","ConfirmDateEnd":"2026-12-01T00:00:00","Confirm":true,'
    b'"ProcTimeConfirm":"%s","ActionDateEnd":"2026-12-31T00:00:00","NoActive":false}'
)
_GOOD = (
    b'{"Id":%d,"ListDataId":%d,"UrlImage":"https://img.example/%d.png","Name":"Good %d",'
    b'"Code":"G%d","NoActive":false}'
)
_GOODS_OF_OFFER = 2
_REGISTRATION = (
    b'{"Client":%d,"Card":%d,"OutNumber":%d,"Virtual":false,"Card_Type":"Base",'
    b'"Card_Status":"Active","RegPos":%d,"RegPosName":"Store %d","RegDate":"%s"}'
)


@dataclass(frozen=True)
class Truth:
    """What a warehouse must contain: the rows of each table, and sums over the operations."""

    registrations: int
    operations: int
    operation_ids: int
    amount_cents: int
    leads: int
    offers: int
    goods: int


@dataclass(frozen=True, kw_only=True)
class World:
    """One programme. Clients register evenly over the days, which are days of Moscow time.

    heavy: number of operations of the first client, if it differs from the others.
    latest: number of clients with one more operation, on the last day, spread evenly.
    """

    seed: int = 1
    clients: int = 2_000
    days: int = 20
    operations: int = 15
    leads: int = 1
    offers: int = 1
    heavy: int | None = None
    latest: int = 0
    first: date = date(2026, 3, 1)

    @property
    def last(self) -> date:
        """The last day on which anything happened."""
        return self.first + timedelta(days=self.days - 1)

    @property
    def endpoints(self) -> int:
        """The number of endpoints that are requested for each client."""
        return 3

    def operations_of(self, index: int) -> int:
        """The number of operations of the client with this index."""
        usual = self.heavy if index == 0 and self.heavy is not None else self.operations
        return usual + self.is_latest(index)

    def is_latest(self, index: int) -> bool:
        """Whether the client is one of those with one more operation."""
        return self.latest > 0 and index % (self.clients // self.latest) == 0

    def registered_between(self, begins: datetime, ends: datetime) -> bytes:
        """Rows of ClientInfoPeriod: all clients of a day register between ten and eleven."""
        first = datetime.combine(self.first, time(11))
        days = [n for n in range(self.days) if begins < first + timedelta(days=n) <= ends]
        indexes = (index for n in days for index in range(n, self.clients, self.days))
        return b",".join(map(self._registration, indexes))

    def operations_page(self, index: int, start: int, length: int) -> bytes:
        """Rows from position `start`, counted from 1, of OperationHistory; newest first."""
        total = self.operations_of(index)
        newest = total - max(1, start)
        return b",".join(
            self._operation(index, number) for number in range(newest, max(-1, newest - length), -1)
        )

    def leads_page(self, index: int, start: int, length: int) -> bytes:
        """Rows of LeadsPagingInfo."""
        first = max(1, start) - 1
        return b",".join(
            self._lead(index, number) for number in range(first, min(self.leads, first + length))
        )

    def offers_page(self, index: int, start: int, length: int) -> tuple[bytes, bytes]:
        """Rows of ClientFavoriteDataInfo: offers, and the goods of these offers."""
        first = max(1, start) - 1
        numbers = range(first, min(self.offers, first + length))
        offers = b",".join(self._offer(index, number) for number in numbers)
        goods = b",".join(
            self._good(index, number, position)
            for number in numbers
            for position in range(_GOODS_OF_OFFER)
        )
        return offers, goods

    def truth(self) -> Truth:
        """The expected totals, computed from the numbers that the rows are made of."""
        operations = operation_ids = cents = 0
        for index in range(self.clients):
            count = self.operations_of(index)
            operations += count
            operation_ids += count * self._operation_id(index, 0) + count * (count - 1) // 2
            cents += sum(self._cents(index, number) for number in range(count))
        return Truth(
            registrations=self.clients,
            operations=operations,
            operation_ids=operation_ids,
            amount_cents=cents,
            leads=self.clients * self.leads,
            offers=self.clients * self.offers,
            goods=self.clients * self.offers * _GOODS_OF_OFFER,
        )

    @cached_property
    def _dates(self) -> list[bytes]:
        return [str(self.first + timedelta(days=n)).encode() for n in range(self.days + 1)]

    def _registration(self, index: int) -> bytes:
        client, store = FIRST_CLIENT + index, index % 40 + 1
        moment = b"%sT10:%02d:%02d" % (self._dates[index % self.days], index % 60, index % 59)
        return _REGISTRATION % (client, client * 10, client, store, store, moment)

    def _operation(self, index: int, number: int) -> bytes:
        identity, cents = self._operation_id(index, number), self._cents(index, number)
        store = (index + number) % 40 + 1
        is_bonus = number % 3 == 0
        moment = self._moment(index, number)
        own, none = b"%d" % identity, b"null"
        bonus, cheque = (own, none) if is_bonus else (none, own)
        added = cents // 20
        return _OPERATION % (
            identity, store, bonus, cheque, store % 5, store, cents // 100, cents % 100,
            added // 100, added % 100, moment, 1 if is_bonus else 2, identity, moment,
            added // 100, added % 100,
        )  # fmt: skip

    def _lead(self, index: int, number: int) -> bytes:
        identity = index * 100 + number + 1
        return _LEAD % (identity, identity, self._late_moment(index), index % 10, index % 3)

    def _offer(self, index: int, number: int) -> bytes:
        moment = self._late_moment(index)
        return _OFFER % (index * 100 + number + 1, moment, moment)

    def _good(self, index: int, number: int, position: int) -> bytes:
        good = (index + position * 7) % 50 + 1
        return _GOOD % (index * 100 + number + 1, good, good, good, good)

    def _operation_id(self, index: int, number: int) -> int:
        return (index + 1) * _OPERATIONS_APART + number

    def _cents(self, index: int, number: int) -> int:
        return (self.seed * 65_537 + index * 7_919 + number * 104_729) % 500_000 + 100

    def _moment(self, index: int, number: int) -> bytes:
        """The time of an operation: evenly spread, later for a larger number."""
        if self.is_latest(index) and number == self.operations_of(index) - 1:
            return b"%sT23:59:59" % self._dates[self.days - 1]
        usual = self.heavy if index == 0 and self.heavy is not None else self.operations
        millis = (self.days * _DAY - 3_600) * 1000 * number // usual + index % 1_000
        seconds, milli = divmod(millis, 1000)
        day, second = divmod(seconds + 3_600, _DAY)
        minute, second = divmod(second, 60)
        return b"%sT%02d:%02d:%02d.%03d" % (
            self._dates[day], minute // 60, minute % 60, second, milli,
        )  # fmt: skip

    def _late_moment(self, index: int) -> bytes:
        return b"%sT12:00:%02d" % (self._dates[self.days - 1], index % 60)
