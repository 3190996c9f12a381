"""The people of the programme: names, phones, card numbers and profiles, drawn from a seed.

Every person is invented. Phones have 10 digits and start with 9; cards have 8 to 18 digits.
"""

from dataclasses import dataclass
from random import Random

_MEN = ("Иван", "Пётр", "Алексей", "Дмитрий", "Сергей", "Николай", "Артём", "Егор")
_WOMEN = ("Анна", "Мария", "Елена", "Ольга", "Наталья", "Ксения", "Юлия", "Софья")
_SURNAMES = ("Иванов", "Петров", "Сидоров", "Кузнецов", "Соколов", "Лебедев", "Козлов", "Щербаков")
_FATHERS = ("Иван", "Пётр", "Алексей", "Сергей", "Николай", "Дмитрий")
_LOGINS = ("sokol", "kofe", "zerno", "vesna", "luna", "tigr", "more", "les")
_CARD_DIGITS = (8, 13, 16, 16, 17, 18, 18)


@dataclass(slots=True)
class Profile:
    """The fields that ClientUpdate changes, by the vendor's names."""

    Client: int
    Name: str | None
    Surname: str | None
    Patronymic: str | None
    AllowSms: bool
    AllowEmail: bool
    Birthdate: str | None
    Phone: int | None
    Email: str | None
    Gender: int
    AllowEmailOnlineCheque: bool = False
    ContragentId: str | None = None


def invent_profile(chance: Random, client: int, phone: int | None) -> Profile:
    """Invent a person; the e-mail contains the client's number and is therefore unique."""
    woman = chance.random() < 0.55
    ending = "а" if woman else ""
    birthdate = (
        f"{chance.randint(1945, 2007)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    )
    return Profile(
        Client=client,
        Name=chance.choice(_WOMEN if woman else _MEN),
        Surname=chance.choice(_SURNAMES) + ending,
        Patronymic=_patronymic(chance, woman=woman) if chance.random() < 0.8 else None,
        AllowSms=chance.random() < 0.7,
        AllowEmail=chance.random() < 0.5,
        Birthdate=birthdate if chance.random() < 0.85 else None,
        Phone=phone,
        Email=f"{chance.choice(_LOGINS)}.{client}@example.org" if chance.random() < 0.7 else None,
        Gender=0 if chance.random() < 0.1 else (-1 if woman else 1),
    )


def _patronymic(chance: Random, *, woman: bool) -> str:
    father = chance.choice(_FATHERS)
    stem = {"Пётр": "Петр"}.get(father, father.removesuffix("й"))
    between = "е" if father.endswith("й") else "о"
    if father.endswith("ий"):
        stem, between = father.removesuffix("ий") + "и", "е"
    return f"{stem}{between}{'вна' if woman else 'вич'}"


def draw_phone(chance: Random) -> int:
    """Draw 10 digits that start with 9."""
    return 9_000_000_000 + int(chance.random() * 999_999_999)


def draw_card(chance: Random) -> int:
    """Draw a card number of 8 to 18 digits; the long ones do not fit a float."""
    digits = chance.choice(_CARD_DIGITS)
    return chance.randrange(10 ** (digits - 1), 10**digits)
