"""The fixed lists of the programme: partners, points of sale, goods, bonus sources, lead texts.

They are the same for every seed. Some names contain quotes, `&` and `<` on purpose.
"""

from typing import NamedTuple


class PointOfSale(NamedTuple):
    """A shop: `Pos` in operations, `RegPos` in registrations, `PosCode` in requests."""

    id: int
    code: str
    name: str
    partner: int
    partner_name: str


class Good(NamedTuple):
    """A product that can become a client's favourite."""

    list_data: int
    code: str
    name: str


_COFFEE, _CHEMIST, _GROCER = 'Кофейни "Зерно & Молоко"', "Аптеки «Будь здоров»", "Продукты <24>"
POINTS_OF_SALE = (
    PointOfSale(101, "SPB-NEV-1", "Невский проспект, 28", 1, _COFFEE),
    PointOfSale(102, "SPB-SAD-2", 'ТЦ "Сенная", 2 этаж', 1, _COFFEE),
    PointOfSale(103, "MSK-ARB-1", "Арбат, 10", 1, _COFFEE),
    PointOfSale(204, "MSK-TVE-4", "Тверская & Ко", 2, _CHEMIST),
    PointOfSale(205, "KZN-BAU-5", "Казань, ул. Баумана, 51", 2, _CHEMIST),
    PointOfSale(306, "EKB-LEN-6", "Екатеринбург, пр. Ленина, 24/8", 3, _GROCER),
    PointOfSale(307, "ONLINE", "Интернет-магазин", 3, _GROCER),
)

_THINGS = ("Капучино", "Раф", "Круассан", "Сырник", "Молоко", "Хлеб", "Сыр", "Яблоки", "Витамины")
_SORTS = ("классический", "большой", "домашний", "без сахара", "фермерский")
GOODS = tuple(
    Good(5000 + 7 * number, f"SKU{number:04}", f"{thing} {sort}")
    for number, (thing, sort) in enumerate((thing, sort) for thing in _THINGS for sort in _SORTS)
)

PURCHASE, BURNT, WELCOME, FRIENDS_PURCHASE = 1, 7, 4, 8
BONUS_SOURCES: dict[int, str | None] = {
    PURCHASE: "За покупку",
    2: "Акция",
    3: "Начислено оператором",
    WELCOME: "Приветственные",
    5: "Приведи друга",
    6: "День рождения",
    BURNT: "Сгорание",
    FRIENDS_PURCHASE: "Покупка друга",
    12: None,
}
GIFT_SOURCES = (2, 2, 2, 3, 5, 6, 8, 12)

CARD_TYPES = ("Пластиковая", "Виртуальная", "Подарочная")
CARD_STATUSES = ("Активна", "Заблокирована", "Утеряна", "Не активирована")

LEAD_SOURCES = ("Сайт", "Мобильное приложение", "Горячая линия", "Кассир")
LEAD_TYPES = ("Жалоба", "Вопрос", "Предложение", "Благодарность")
LEAD_FORMS = ("Обратная связь", "Не начислены баллы", "Качество & сервис")
LEAD_SUBJECTS = ("Не пришли баллы", "Где мой заказ?", 'Карта "потерялась"', "Спасибо <3", "Возврат")
LEAD_STATUSES = ("Новое", "В работе", "Ожидает клиента", "Решено", "Закрыто")
LEAD_MARKS = ("Отлично", "Хорошо", "Плохо")
