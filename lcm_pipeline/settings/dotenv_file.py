"""The file .env in the working directory, and the mistakes that pydantic-settings would ignore."""

import codecs
import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from lcm_pipeline.settings.model import ENV_FILE, PREFIX, Settings, SettingsError

# In .env, ${NAME} is the value of a variable, also within quotes, and empty if that is not set:
# then what follows :- is used.
_REFERENCE = re.compile(r"\$\{([^}:]+)\}")
LITERAL_DOLLAR = "${:-$}"


def env_file() -> Path | None:
    """The path of .env in the working directory; None if there is none."""
    return ENV_FILE.absolute() if ENV_FILE.exists() else None


def described_env_file() -> str:
    """Where the settings come from, as a sentence without its full stop."""
    path = env_file()
    if path is None:
        return f"Settings come only from the environment, as there is no .env in {Path.cwd()}"
    return f"Settings come from {path} and the environment"


def unknown_settings() -> list[str]:
    """A line for each LCM_* name in .env or the environment that is not a setting.

    Names are case-insensitive, as in pydantic-settings. A name that is in both is listed once.
    """
    problems: dict[str, str] = {}
    for name, where in [*_names_in_env_file(), *((name, "") for name in os.environ)]:
        prefix, field = name[: len(PREFIX)].upper(), name[len(PREFIX) :].lower()
        # LCM-TOKEN and LCM.TOKEN are slips too.
        prefix = prefix.replace("-", "_").replace(".", "_")
        if prefix != PREFIX or field in Settings.model_fields or field in problems:
            continue
        nearest = get_close_matches(field, Settings.model_fields, n=1)
        advice = f"did you mean {PREFIX}{nearest[0].upper()}?" if nearest else "see .env.example"
        itself = field.removesuffix("_file")
        if itself in Settings.model_fields:
            advice = (
                f"only secrets are read from files, such as {PREFIX}TOKEN_FILE: set"
                f" {PREFIX}{itself.upper()} itself"
            )
        problems[field] = f"{where}unknown setting {name}; {advice}"
    return list(problems.values())


def _names_in_env_file() -> Iterator[tuple[str, str]]:
    """Yield each name in .env with `FILE, line N: `; raises SettingsError if it is malformed.

    pydantic-settings would silently skip lines that it cannot parse, and a .env that is not a file.
    No message quotes a line, since it may contain a secret.
    """
    path = ENV_FILE.absolute()
    try:
        # A pipe can be read only once, and pydantic-settings has to read it.
        content = b"" if path.is_fifo() else path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    malformed, names = [], set(os.environ)
    for binding in parse_stream(StringIO(text, newline=None)):
        # The parser counts blank lines before a statement as a part of it.
        statement = binding.original.string
        blank_lines = statement.count("\n", 0, len(statement) - len(statement.lstrip()))
        where = f"{path}, line {binding.original.line + blank_lines}: "
        if binding.error or (binding.key is not None and binding.value is None):
            malformed.append(f"{where}expected NAME=VALUE, with every quote closed")
        elif binding.key is not None:
            yield binding.key, where
            if not binding.key.isascii():
                # Such as LСM_OPERATOR with a Cyrillic С, which is no setting and looks like one.
                malformed.append(f"{where}a name with a letter that is not Latin")
            referred = set(_REFERENCE.findall(binding.value or ""))
            if binding.key.upper().startswith(PREFIX) and referred - names:
                malformed.append(
                    f"{where}{binding.key} has a ${{NAME}} of a variable that is not set; write"
                    f" {LITERAL_DOLLAR} for a $ before a brace"
                )
            names.add(binding.key)
    if malformed:
        raise SettingsError("\n".join(malformed))
