"""Reads the settings, and checks what concerns several of them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from lcm_pipeline.settings.dotenv_file import unknown_settings
from lcm_pipeline.settings.explain import explain
from lcm_pipeline.settings.field_types import SHORTEST_KEY
from lcm_pipeline.settings.model import PREFIX, Settings, SettingsError


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings. The environment takes precedence over .env.

    overrides: values of fields, which take precedence over both. Raises SettingsError with a line
    for each unknown name and each invalid value.
    """
    problems = unknown_settings()
    try:
        settings = Settings(**overrides)
        if secrets := _secrets_in_files(settings):
            settings = Settings(**(overrides | secrets))
    except ValidationError as error:
        problems += [explain(item) for item in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    _require_consistency(settings)
    return settings


def _require_consistency(settings: Settings) -> None:
    """Raise SettingsError where settings that are valid alone do not go together."""
    if settings.api_url is not None and not (settings.allow_http or _is_private(settings.api_url)):
        raise SettingsError(
            "LCM_API_URL: plain http sends the login and personal data unencrypted; give an https"
            " address, or set LCM_ALLOW_HTTP=1 if you control the network"
        )
    # Nothing is hashed with old keys alone: the warehouse says what is missing, if it is.
    keys = settings.pseudonym_keys
    if any(len(key) < SHORTEST_KEY for key in keys[:-1]):
        raise SettingsError(
            f"LCM_PSEUDONYM_OLD_KEYS: expected keys of {SHORTEST_KEY} characters or more, with"
            " commas between them"
        )
    if len(set(keys)) < len(keys):
        raise SettingsError(
            "LCM_PSEUDONYM_OLD_KEYS: a key is listed twice, or is LCM_PSEUDONYM_KEY itself"
        )
    if (settings.username is None) != (settings.password is None):
        missing = "LCM_USERNAME" if settings.username is None else "LCM_PASSWORD"
        raise SettingsError(
            f"LCM_USERNAME and LCM_PASSWORD go together: {missing} is not set, or empty"
        )
    if settings.api_url is not None:
        settings.proxy()


def _secrets_in_files(settings: Settings) -> dict[str, str]:
    """The contents of the LCM_*_FILE files, by setting, without a trailing line break.

    Raises SettingsError; no message quotes the contents of a file.
    """
    secrets: dict[str, str] = {}
    problems: list[str] = []
    for name in Settings.model_fields:
        path: Path | None = getattr(settings, f"{name}_file", None)
        if path is None:
            continue
        setting = PREFIX + name.upper()
        try:
            text = path.expanduser().read_text(encoding="utf-8-sig").rstrip("\r\n")
        except OSError as error:
            problems.append(f"{setting}_FILE: '{path}' cannot be read ({error.strerror})")
            continue
        except UnicodeDecodeError:
            problems.append(f"{setting}_FILE: '{path}' is not UTF-8")
            continue
        if not text.strip():
            problems.append(f"{setting}_FILE: '{path}' is empty")
        elif getattr(settings, name) is not None:
            problems.append(f"{setting} and {setting}_FILE are both set: leave one out")
        secrets[name] = text
    if problems:
        raise SettingsError("\n".join(problems))
    return secrets


def _is_private(url: str) -> bool:
    """Whether the traffic cannot be read: the address is https, or on this machine."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
