"""ClientUpdate: what it changes in a profile, what it cuts in silence, and the log of it all.

Omitted, null, "" and Gender 0 leave a field as it is. An e-mail of somebody else stays out,
with ErrorCode 0 and a Message.
"""

from dataclasses import asdict
from typing import Any

from lcm_pipeline.simulator.customers import Customer
from lcm_pipeline.simulator.fields import Value
from lcm_pipeline.simulator.moments import text_of
from lcm_pipeline.simulator.programme import Programme

_NAME_LENGTH = 20
_EMAIL_LENGTH = 50
_NAMES = ("Name", "Surname", "Patronymic")
_AS_SENT = ("AllowSms", "AllowEmail", "AllowEmailOnlineCheque")
EMAIL_TAKEN = "Указанный e-mail принадлежит другому участнику"
PHONE_TAKEN = "Указанный телефон принадлежит другому участнику"
PHONE_MALFORMED = "Некорректный номер телефона"


class Profiles:
    """The profiles of all clients and every update that was asked for, in order."""

    def __init__(self, programme: Programme) -> None:
        self._programme = programme
        self.updates: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """All profiles as they are now."""
        return [asdict(customer.profile) for customer in self._programme.customers.values()]

    def update(self, customer: Customer, asked: dict[str, Any]) -> tuple[int, str | None]:
        """Apply one update; returns its ErrorCode and Message."""
        code, message = self._check_phone(customer, asked.get("Phone"))
        if code == 0:
            message = self._apply(customer, asked)
        self.updates.append({"Client": customer.id, "ErrorCode": code, "Message": message, **asked})
        return code, message

    def _check_phone(self, customer: Customer, phone: Value) -> tuple[int, str | None]:
        if not isinstance(phone, int):
            return 0, None
        if not 9_000_000_000 <= phone <= 9_999_999_999:
            return 7, PHONE_MALFORMED
        if self._programme.by_phone.get(phone, customer) is not customer:
            return 8, PHONE_TAKEN
        return 0, None

    def _apply(self, customer: Customer, asked: dict[str, Any]) -> str | None:
        profile = customer.profile
        for name in _NAMES:
            if asked.get(name):
                setattr(profile, name, asked[name][:_NAME_LENGTH])
        for name in _AS_SENT:
            if asked.get(name) is not None:
                setattr(profile, name, asked[name])
        if asked.get("Gender"):
            profile.Gender = asked["Gender"]
        if asked.get("ContragentId"):
            profile.ContragentId = asked["ContragentId"]
        if asked.get("Birthdate") is not None:
            profile.Birthdate = text_of(asked["Birthdate"])[:10]
        if asked.get("Phone"):
            self._programme.by_phone.pop(profile.Phone or 0, None)
            profile.Phone = asked["Phone"]
            self._programme.by_phone[asked["Phone"]] = customer
        return self._apply_email(customer, asked.get("Email"))

    def _apply_email(self, customer: Customer, email: str | None) -> str | None:
        if not email:
            return None
        email = email[:_EMAIL_LENGTH]
        if self._programme.by_email.get(email.lower(), customer) is not customer:
            return EMAIL_TAKEN
        self._programme.by_email.pop((customer.profile.Email or "").lower(), None)
        customer.profile.Email = email
        self._programme.by_email[email.lower()] = customer
        return None
