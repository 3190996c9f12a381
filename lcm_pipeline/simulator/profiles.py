"""ClientUpdate: applies an update to a profile, silently truncates long values, and logs it.

Omitted, null, "" and Gender 0 leave a field unchanged. An e-mail that belongs to another client is
not applied; the response then has ErrorCode 0 and a Message.
"""

from dataclasses import asdict
from typing import Any

from lcm_pipeline.simulator.customers import Customer
from lcm_pipeline.simulator.fields import Value
from lcm_pipeline.simulator.moments import text_of
from lcm_pipeline.simulator.programme import Programme

# The service cuts longer values silently, without an ErrorCode.
_NAME_LENGTH = 20
_EMAIL_LENGTH = 50
_NAMES = ("Name", "Surname", "Patronymic")
_AS_SENT = ("AllowSms", "AllowEmail", "AllowEmailOnlineCheque")
EMAIL_TAKEN = "Указанный e-mail принадлежит другому участнику"
PHONE_TAKEN = "Указанный телефон принадлежит другому участнику"
PHONE_MALFORMED = "Некорректный номер телефона"


class Profiles:
    """The profiles of all clients, and every requested update in order."""

    def __init__(self, programme: Programme) -> None:
        self._programme = programme
        self.updates: list[dict[str, Any]] = []

    def rows(self) -> list[dict[str, Any]]:
        """The current profiles of all clients."""
        return [asdict(customer.profile) for customer in self._programme.customers.values()]

    def update(self, customer: Customer, requested: dict[str, Any]) -> tuple[int, str | None]:
        """Apply one update; returns its ErrorCode and Message."""
        code, message = self._check_phone(customer, requested.get("Phone"))
        if code == 0:
            message = self._apply(customer, requested)
        self.updates.append(
            {"Client": customer.id, "ErrorCode": code, "Message": message, **requested}
        )
        return code, message

    def _check_phone(self, customer: Customer, phone: Value) -> tuple[int, str | None]:
        if not isinstance(phone, int):
            return 0, None
        if not 9_000_000_000 <= phone <= 9_999_999_999:
            return 7, PHONE_MALFORMED
        if self._programme.by_phone.get(phone, customer) is not customer:
            return 8, PHONE_TAKEN
        return 0, None

    def _apply(self, customer: Customer, requested: dict[str, Any]) -> str | None:
        profile = customer.profile
        for name in _NAMES:
            if requested.get(name):
                setattr(profile, name, requested[name][:_NAME_LENGTH])
        for name in _AS_SENT:
            if requested.get(name) is not None:
                setattr(profile, name, requested[name])
        if requested.get("Gender"):
            profile.Gender = requested["Gender"]
        if requested.get("ContragentId"):
            profile.ContragentId = requested["ContragentId"]
        if requested.get("Birthdate") is not None:
            profile.Birthdate = text_of(requested["Birthdate"])[:10]
        if requested.get("Phone"):
            self._programme.by_phone.pop(profile.Phone or 0, None)
            profile.Phone = requested["Phone"]
            self._programme.by_phone[requested["Phone"]] = customer
        return self._apply_email(customer, requested.get("Email"))

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
