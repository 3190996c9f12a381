"""Checks everything that the daily load depends on; changes nothing.

Each check yields findings: ok, warn or fail, what was found, and what to do. A check never raises,
so that one failure does not hide the others, and no finding contains a secret or personal data.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lcm_pipeline.doctor.findings import Finding, State
from lcm_pipeline.doctor.service import check_service
from lcm_pipeline.doctor.warehouse import check_warehouse
from lcm_pipeline.files import existing_folder
from lcm_pipeline.settings import Settings, SettingsError, env_file
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.diagnosis import why_unreachable
from lcm_pipeline.warehouse.transient_errors import advice_on_connections

_WARN_FREE_BYTES, _FAIL_FREE_BYTES = 5_000_000_000, 500_000_000


def examine(settings: Settings, *, is_new: bool = False) -> Iterator[Finding]:
    """Run all checks, in the order in which a sync needs what they check.

    is_new: the settings are new, so nobody expects a warehouse yet, and that there is none is ok.
    """
    yield from _check_settings(settings)
    disk = list(_check_disk(settings))
    yield from disk
    can_create = all(finding.state is not State.FAIL for finding in disk)
    yield from check_warehouse(settings, is_new=is_new, can_create=can_create)
    yield from _check_dagster(settings)
    yield from check_service(settings)


def _check_settings(settings: Settings) -> Iterator[Finding]:
    path = env_file()
    source = f"{path} and the environment" if path else f"the environment; no .env in {Path.cwd()}"
    yield Finding("settings", State.OK, f"read from {source}")
    if path is not None and path.stat().st_mode & 0o044:
        yield Finding(
            "settings file", State.WARN, f"{path} can be read by others", f"chmod 600 {path}"
        )
    if settings.api_url is None:
        advice = "set LCM_API_URL, or run lcm init, which asks for everything"
        yield Finding("address", State.FAIL, "LCM_API_URL is not set", advice)
    elif not any((settings.token, settings.site_code, settings.username)):
        advice = "set LCM_TOKEN, LCM_SITE_CODE, or LCM_USERNAME and LCM_PASSWORD"
        yield Finding("identity settings", State.WARN, "no identity is set", advice)
    advice = "set it to the programme's first day"
    if settings.start_date is None:
        yield Finding(
            "start", State.WARN, "LCM_START_DATE is not set: clients who registered before the"
            " first synced day are not found", advice,
        )  # fmt: skip
        return
    try:
        settings.require_begun()
    except SettingsError as error:
        yield Finding("start", State.WARN, str(error), advice)


def _check_disk(settings: Settings) -> Iterator[Finding]:
    home = settings.home_path
    existing = existing_folder(home)
    space = shutil.disk_usage(existing)
    free = space.free
    found = f"{free / 1e9:,.1f} GB free for LCM_HOME ({home})"
    advice = "set LCM_HOME to a folder that you may write to"
    if not space.total:
        # Such as /proc, where root may write, but nobody may create a file.
        found = f"{existing} is in a file system that stores no files, so LCM_HOME ({home}) cannot"
        yield Finding("disk", State.FAIL, f"{found} be created", advice)
    elif free < _FAIL_FREE_BYTES:
        yield Finding("disk", State.FAIL, found, "free some space, or move LCM_HOME")
    elif free < _WARN_FREE_BYTES:
        yield Finding("disk", State.WARN, found, "free some space before it is full")
    else:
        yield Finding("disk", State.OK, found)
    if not existing.is_dir():
        yield Finding("home", State.FAIL, f"{existing} is not a folder", advice)
    elif not os.access(existing, os.W_OK):
        yield Finding("home", State.FAIL, f"{existing} cannot be written to", advice)


def _check_dagster(settings: Settings) -> Iterator[Finding]:
    """Check its storage, and LCM_READERS; `orchestration.diagnosis` checks what executors need."""
    if settings.dagster_database_url is not None:
        storage = Warehouse(settings.dagster_database_url.get_secret_value())
        reason = why_unreachable(storage)
        if reason is None:
            yield Finding("Dagster's storage", State.OK, storage.location)
        else:
            advice = advice_on_connections(reason) or "check LCM_DAGSTER_DATABASE_URL"
            yield Finding("Dagster's storage", State.FAIL, f"{storage.location}: {reason}", advice)
    readers = f"{settings.executor}, {settings.readers} readers of a feed"
    if settings.readers == 1:
        yield Finding("executor", State.OK, settings.executor)
    elif settings.executor == "in_process":
        advice = "set LCM_EXECUTOR to multiprocess or celery, or leave LCM_READERS at 1"
        yield Finding("executor", State.WARN, f"{readers}, one after the other", advice)
    else:
        yield Finding("executor", State.OK, readers)
