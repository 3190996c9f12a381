"""Settings of the Superset that `lcm dashboards` starts: one machine, loopback, SQLite.

Read by Superset itself (SUPERSET_CONFIG_PATH); its files are in SUPERSET_HOME, readable only by
their owner.
"""

import copy
import os
from pathlib import Path

from superset.config import TALISMAN_CONFIG

_HOME = Path(os.environ["SUPERSET_HOME"])

SECRET_KEY = (_HOME / "secret_key").read_text().strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{_HOME / 'superset.db'}?timeout=30"

APP_NAME = "lcm dashboards"
# Charts are in LCM_LANGUAGE, and so is the menu until another is chosen in it.
_LANGUAGE = os.environ.get("SUPERSET_LANGUAGE", "ru")
LANGUAGES = {
    "ru": {"flag": "ru", "name": "Русский"},
    "en": {"flag": "us", "name": "English"},
}
BABEL_DEFAULT_LOCALE = _LANGUAGE
# 1 234 567,8 in Russian, 1,234,567.8 in English.
_DECIMAL, _THOUSANDS = (",", "\u00a0") if _LANGUAGE == "ru" else (".", ",")
D3_FORMAT = {
    "decimal": _DECIMAL,
    "thousands": _THOUSANDS,
    "grouping": [3],
    "currency": ["", "\u00a0₽"],
}

# The warehouse login has a statement timeout of 60 s; the page waits a little longer.
SUPERSET_WEBSERVER_TIMEOUT = 75
SESSION_COOKIE_NAME = "lcm_superset"
# No request leaves this machine: the pictures by which Superset counts its users are blocked.
TALISMAN_CONFIG = copy.deepcopy(TALISMAN_CONFIG)
TALISMAN_CONFIG["content_security_policy"]["img-src"] = ["'self'", "blob:", "data:"]
