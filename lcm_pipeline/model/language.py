"""The languages of what people read, the dashboards and the report: one at a time, LCM_LANGUAGE.

Russian is the default: the programmes are Russian, and so are the names of their stores, statuses
and goods, their money and the marts' own words for segments; a page in English is the exception.
What the machinery says (commands, logs, comments of the database) is English in either case.
"""

from typing import Literal

Language = Literal["ru", "en"]
DEFAULT_LANGUAGE: Language = "ru"
