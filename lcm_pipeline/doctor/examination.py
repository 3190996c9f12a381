"""Checks everything that the daily load depends on; changes nothing.

Each check yields findings: ok, warn or fail, what was found, and what to do. A check never raises,
so that one failure does not hide the others, and no finding contains a secret or personal data.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from lcm_pipeline.doctor.findings import Finding, Level
from lcm_pipeline.doctor.service import check_clock, check_service
from lcm_pipeline.files import existing_folder
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.settings import Settings, SettingsError, env_file
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.diagnosis import (
    WarehouseFacts,
    problem_with_keys,
    read_facts,
    tables_without_key,
    why_unreachable,
)
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.migrations import SchemasOfOthersError, have_old_marts
from lcm_pipeline.warehouse.programme import programme_of, stored_programme
from lcm_pipeline.warehouse.status import read_status
from lcm_pipeline.warehouse.transient_errors import advice_on_connections

_MEGABYTE = 1_000_000
_WARN_FREE_BYTES, _FAIL_FREE_BYTES = 5_000 * _MEGABYTE, 500 * _MEGABYTE


def examine(settings: Settings, *, is_new: bool = False) -> Iterator[Finding]:
    """Run all checks, in the order in which a sync needs what they check.

    is_new: the settings are new, so nobody expects a warehouse yet, and that there is none is ok.
    """
    yield from _check_settings(settings)
    disk = list(_check_disk(settings))
    yield from disk
    can_create = all(finding.state is not Level.FAIL for finding in disk)
    yield from _check_warehouse(settings, is_new=is_new, can_create=can_create)
    yield from _check_dagster(settings)
    yield from check_service(settings)


def _check_settings(settings: Settings) -> Iterator[Finding]:
    path = env_file()
    source = f"{path} and the environment" if path else f"the environment; no .env in {Path.cwd()}"
    yield Finding("settings", Level.OK, f"read from {source}")
    if path is not None and path.stat().st_mode & 0o044:
        yield Finding(
            "settings file", Level.WARN, f"{path} can be read by others", f"chmod 600 {path}"
        )
    has_identity = any((settings.token, settings.site_code, settings.username))
    if settings.api_url is None:
        advice = "set LCM_API_URL, or run lcm init, which asks for everything"
        yield Finding("address", Level.FAIL, "LCM_API_URL is not set", advice)
    elif not has_identity:
        advice = "set LCM_TOKEN, LCM_SITE_CODE, or LCM_USERNAME and LCM_PASSWORD"
        yield Finding("identity settings", Level.WARN, "no identity is set", advice)
    advice = "set it to the programme's first day"
    if settings.start_date is None:
        yield Finding(
            "start", Level.WARN, "LCM_START_DATE is not set: clients who registered before the"
            " first synced day are not found", advice,
        )  # fmt: skip
        return
    try:
        settings.require_begun(settings.yesterday())
    except SettingsError as error:
        yield Finding("start", Level.WARN, str(error), advice)


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
        yield Finding("disk", Level.FAIL, f"{found} be created", advice)
    elif free < _FAIL_FREE_BYTES:
        yield Finding("disk", Level.FAIL, found, "free some space, or move LCM_HOME")
    elif free < _WARN_FREE_BYTES:
        yield Finding("disk", Level.WARN, found, "free some space before it is full")
    else:
        yield Finding("disk", Level.OK, found)
    if not existing.is_dir():
        yield Finding("home", Level.FAIL, f"{existing} is not a folder", advice)
    elif not os.access(existing, os.W_OK):
        yield Finding("home", Level.FAIL, f"{existing} cannot be written to", advice)


def _check_warehouse(settings: Settings, *, is_new: bool, can_create: bool) -> Iterator[Finding]:
    try:
        with open_warehouse(settings, is_read_only=True) as warehouse:
            facts = read_facts(warehouse)
            version = f"{warehouse.location}, PostgreSQL {facts.version}"
            yield Finding("warehouse", Level.OK, version)
            yield from _check_facts(settings, facts)
            yield from _check_status(settings, warehouse, is_new=is_new)
            yield _check_keys(settings, warehouse)
    except NothingSyncedError as error:
        if is_new and can_create:
            yield Finding(
                "warehouse", Level.OK, f"the first sync creates it in {settings.home_path}"
            )
            return
        advice = "lcm sync creates and fills it"
        if not can_create:
            advice = "first correct LCM_HOME; lcm sync then creates and fills it"
        yield Finding("warehouse", Level.WARN, str(error).splitlines()[0], advice)
    except UserError as error:
        advice = "correct that, then run lcm doctor again"
        yield Finding("warehouse", Level.FAIL, str(error), advice)


def _check_facts(settings: Settings, facts: WarehouseFacts) -> Iterator[Finding]:
    if facts.missing_rights:
        advice = f"have its owner run: {' '.join(facts.missing_rights)}"
        yield Finding("rights", Level.FAIL, f"{facts.user} lacks rights", advice)
    else:
        yield Finding("rights", Level.OK, f"{facts.user} may fill the warehouse")
    if facts.is_standby:
        yield Finding("primary", Level.FAIL, "a read-only standby", "set the primary's address")
    if facts.size is not None:
        yield Finding("size", Level.OK, f"the database has {facts.size / 1e9:,.1f} GB")
    yield check_clock("clock of the warehouse", facts.clock_ahead)
    if facts.timezone not in (None, settings.timezone):
        found = f"LCM_TIMEZONE is {settings.timezone}, but the stored days are {facts.timezone}'s"
        advice = "restore LCM_TIMEZONE, or fill another warehouse"
        yield Finding("zone", Level.FAIL, found, advice)
    else:
        now = datetime.now(settings.zone)
        yield Finding("zone", Level.OK, f"{settings.timezone}, where it is {now:%Y-%m-%d %H:%M}")


def _check_status(settings: Settings, warehouse: Warehouse, *, is_new: bool) -> Iterator[Finding]:
    try:
        status = read_status(warehouse, compares_marts=True)
    except NothingSyncedError:
        if is_new:
            yield Finding("schema", Level.OK, "the first sync creates it")
            return
        yield Finding("schema", Level.WARN, "not created yet", "lcm migrate or lcm sync creates it")
        return
    except SchemasOfOthersError as error:
        yield Finding("schema", Level.FAIL, str(error), "correct LCM_DATABASE_URL")
        return
    except UserError as error:
        yield Finding("schema", Level.FAIL, str(error), "lcm migrate")
        return
    if keyless := tables_without_key(warehouse):
        more = f" and {len(keyless) - 1:,} more tables" if keyless[1:] else ""
        found = f"{keyless[0]}{more} without a key, as after a restore that ended early"
        advice = "restore the backup into a new database: docs/how-to/backup.md"
        yield Finding("schema", Level.FAIL, found, advice)
    else:
        yield Finding("schema", Level.OK, "matches this version")
    # Before anything was published a sync replaces a programme that the settings do not name.
    if settings.api_url is not None and any(feed.published_at for feed in status.feeds):
        yield from _check_programme(settings, warehouse)
    run = status.last_run
    if run is not None and run.has_failed:
        found = f"{run.feed} {run.first_day} to {run.last_day}: {run.state}"
        advice = "run the same lcm sync again"
        if run.error:
            # The error says whether a rerun helps, and what has to be corrected before.
            found += f": {run.error}"
            advice = "do what it says; lcm logs shows what came before"
        yield Finding("last run", Level.WARN, found, advice)
    yesterday = settings.yesterday()
    if status.last_runs and not status.is_complete(yesterday, settings.max_staleness_days):
        found = f"not complete through {yesterday}"
        yield Finding("completeness", Level.WARN, found, "lcm status --pending; lcm sync --missing")
    elif status.last_runs:
        yield Finding("completeness", Level.OK, f"complete through {yesterday}")
    if have_old_marts(warehouse):
        found = "are those of another version, as after an upgrade that views of yours stopped"
        yield Finding("marts", Level.WARN, found, "lcm migrate, which names such views")
    elif status.marts_behind:
        found = f"{len(status.marts_behind):,} are older than the facts or mart.parameters"
        advice = "lcm marts refreshes them; if totals differ, first lcm verify --all --fix"
        yield Finding("marts", Level.WARN, found, advice)


def _check_programme(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    stored, wanted = stored_programme(warehouse), programme_of(settings)
    if stored not in (None, wanted):
        found = f"the warehouse holds that of {stored}, and the settings name {wanted}"
        advice = (
            "correct LCM_API_URL and LCM_OPERATOR, or the warehouse; lcm adopt if it is the same"
            " programme at another address"
        )
        yield Finding("programme", Level.FAIL, found, advice)


def _check_keys(settings: Settings, warehouse: Warehouse) -> Finding:
    name, pseudonyms = "pseudonym key", settings.pseudonyms
    if problem := problem_with_keys(warehouse, pseudonyms):
        return Finding(name, Level.FAIL, problem, "see docs/privacy.md")
    if pseudonyms:
        count = len(pseudonyms.keys)
        chain = f", after {count - 1} older" if count > 1 else ""
        return Finding(
            name, Level.OK, f"is that of the warehouse{chain}: phones and cards are hashes"
        )
    if settings.pseudonym_key is not None:
        return Finding(name, Level.OK, "is for erased persons alone, as LCM_PSEUDONYMIZE is 0")
    return Finding(name, Level.OK, "is not set: phones and cards are stored as they come")


def _check_dagster(settings: Settings) -> Iterator[Finding]:
    """Check its storage, and LCM_READERS; `orchestration.diagnosis` checks what executors need."""
    if settings.dagster_database_url is not None:
        storage = Warehouse(settings.dagster_database_url.get_secret_value())
        reason = why_unreachable(storage)
        if reason is None:
            yield Finding("Dagster's storage", Level.OK, storage.location)
        else:
            advice = advice_on_connections(reason) or "check LCM_DAGSTER_DATABASE_URL"
            yield Finding("Dagster's storage", Level.FAIL, f"{storage.location}: {reason}", advice)
    readers = f"{settings.executor}, {settings.readers} readers of a feed"
    if settings.readers == 1:
        yield Finding("executor", Level.OK, settings.executor)
    elif settings.executor == "in_process":
        advice = "set LCM_EXECUTOR to multiprocess or celery, or leave LCM_READERS at 1"
        yield Finding("executor", Level.WARN, f"{readers}, one after the other", advice)
    else:
        yield Finding("executor", Level.OK, readers)
