"""The LCM_* variables. Only this package reads them from the environment and the file `.env`.

model.py        every setting with its type, default and bounds
field_types.py  types that check more than pydantic's own, such as addresses and shares
load.py         reading all settings, secrets in files, and checks across settings
dotenv_file.py  the file .env, and unknown names in it or in the environment
explain.py      error messages: what a setting has to be, and what was given
environment.py  variables of others: for libpq, Postgres' programs and child processes
secrets.py      secrets that are drawn on this machine and stored in LCM_HOME
"""

from lcm_pipeline.settings.dotenv_file import LITERAL_DOLLAR, described_env_file, env_file
from lcm_pipeline.settings.environment import (
    child_environment,
    libpq_variables,
    postgres_binaries_override,
)
from lcm_pipeline.settings.load import load_settings
from lcm_pipeline.settings.model import (
    DEFAULT_TIMEZONE,
    MAX_READERS,
    Executor,
    Settings,
    SettingsError,
)

__all__ = [
    "DEFAULT_TIMEZONE",
    "LITERAL_DOLLAR",
    "MAX_READERS",
    "Executor",
    "Settings",
    "SettingsError",
    "child_environment",
    "described_env_file",
    "env_file",
    "libpq_variables",
    "load_settings",
    "postgres_binaries_override",
]
