"""Language of the dashboards and the report (LCM_LANGUAGE), one at a time.

Russian is the default: the programmes are Russian, and so are the names of their stores, statuses
and goods, their currency and the segment names in the marts. Commands, logs and database comments
are always English.
"""

from typing import Literal

Language = Literal["ru", "en"]
DEFAULT_LANGUAGE: Language = "ru"
