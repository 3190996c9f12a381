"""Checks of the warehouse: server, rights, schema, programme, completeness, marts and keys."""

from collections.abc import Iterator
from datetime import datetime

from lcm_pipeline.doctor.findings import Finding, State, clock_finding
from lcm_pipeline.model.errors import UserError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import Settings
from lcm_pipeline.warehouse.connection import Warehouse, open_warehouse
from lcm_pipeline.warehouse.diagnosis import (
    explaining_failures,
    problem_with_keys,
    read_facts,
    tables_without_key,
)
from lcm_pipeline.warehouse.errors import NothingSyncedError
from lcm_pipeline.warehouse.migrations import SchemasOfOthersError, have_old_marts
from lcm_pipeline.warehouse.poolers import SESSIONS_AT_ONCE
from lcm_pipeline.warehouse.programme import programme_of, stored_programme
from lcm_pipeline.warehouse.schema import ChangedSchemaError
from lcm_pipeline.warehouse.sessions import run_again_if_lost
from lcm_pipeline.warehouse.status import WarehouseStatus, read_status


def check_warehouse(settings: Settings, *, is_new: bool, can_create: bool) -> Iterator[Finding]:
    """Check the warehouse of the settings, as far as it can be opened.

    is_new: nobody expects a warehouse yet. can_create: the embedded one can be created in LCM_HOME.
    """
    try:
        with (
            open_warehouse(settings, is_read_only=True) as warehouse,
            explaining_failures(warehouse),
        ):
            yield from _check_server(settings, warehouse)
            yield from _check_schema(settings, warehouse, is_new=is_new)
            yield _check_keys(settings, warehouse)
    except NothingSyncedError as error:
        if is_new and can_create:
            yield Finding(
                "warehouse", State.OK, f"the first sync creates it in {settings.home_path}"
            )
            return
        advice = "lcm sync creates and fills it"
        if not can_create:
            advice = "first correct LCM_HOME; lcm sync then creates and fills it"
        yield Finding("warehouse", State.WARN, str(error).splitlines()[0], advice)
    except UserError as error:
        advice = "correct that, then run lcm doctor again"
        yield Finding("warehouse", State.FAIL, str(error), advice)


def _check_server(settings: Settings, warehouse: Warehouse) -> Iterator[Finding]:
    # With a limit of one session, the server may not have ended that of the check before.
    facts = run_again_if_lost(lambda: read_facts(warehouse))
    version = f"{warehouse.location}, PostgreSQL {facts.version}"
    yield Finding("warehouse", State.OK, version)
    if facts.missing_rights:
        advice = f"have its owner run: {' '.join(facts.missing_rights)}"
        yield Finding("rights", State.FAIL, f"{facts.user} lacks rights", advice)
    else:
        yield Finding("rights", State.OK, f"{facts.user} may fill the warehouse")
    if facts.connection_limit is not None and facts.connection_limit < SESSIONS_AT_ONCE:
        limit = counted(facts.connection_limit, "connection")
        found = f"{limit} allowed to {facts.user} here, and a sync opens up to {SESSIONS_AT_ONCE}"
        advice = "raise the connection limit of the role or the database: docs/postgres.md"
        yield Finding("connections", State.WARN, found, advice)
    if facts.is_standby:
        yield Finding("primary", State.FAIL, "a read-only standby", "set the primary's address")
    if facts.size is not None:
        yield Finding("size", State.OK, f"the database has {facts.size / 1e9:,.1f} GB")
    yield clock_finding("clock of the warehouse", facts.clock_ahead)
    if facts.timezone not in (None, settings.timezone):
        found = f"LCM_TIMEZONE is {settings.timezone}, but the stored days are {facts.timezone}'s"
        advice = "restore LCM_TIMEZONE, or fill another warehouse"
        yield Finding("zone", State.FAIL, found, advice)
    else:
        now = datetime.now(settings.zone)
        yield Finding("zone", State.OK, f"{settings.timezone}, where it is {now:%Y-%m-%d %H:%M}")


def _check_schema(settings: Settings, warehouse: Warehouse, *, is_new: bool) -> Iterator[Finding]:
    """Check the schema and, if its status can be read, the programme, the days and the marts."""
    try:
        status = read_status(warehouse, compares_marts=True)
    except NothingSyncedError:
        if is_new:
            yield Finding("schema", State.OK, "the first sync creates it")
            return
        yield Finding("schema", State.WARN, "not created yet", "lcm migrate or lcm sync creates it")
        return
    except SchemasOfOthersError as error:
        yield Finding("schema", State.FAIL, str(error), "correct LCM_DATABASE_URL")
        return
    except ChangedSchemaError as error:
        yield Finding("schema", State.FAIL, str(error), "correct that, then run lcm doctor again")
        return
    except UserError as error:
        yield Finding("schema", State.FAIL, str(error), "lcm migrate")
        return
    if keyless := tables_without_key(warehouse):
        more = f" and {counted(len(keyless) - 1, 'more table')}" if keyless[1:] else ""
        found = f"{keyless[0]}{more} without a key, as after a restore that ended early"
        advice = "restore the backup into a new database: docs/how-to/backup.md"
        yield Finding("schema", State.FAIL, found, advice)
    else:
        yield Finding("schema", State.OK, "matches this version")
    yield from _check_status(settings, warehouse, status)


def _check_status(
    settings: Settings, warehouse: Warehouse, status: WarehouseStatus
) -> Iterator[Finding]:
    # Before anything was published a sync replaces a programme that the settings do not name.
    if settings.api_url is not None and any(feed.published_at for feed in status.feeds):
        stored, wanted = stored_programme(warehouse), programme_of(settings)
        if stored not in (None, wanted):
            found = f"the warehouse holds that of {stored}, and the settings name {wanted}"
            advice = (
                "correct LCM_API_URL and LCM_OPERATOR, or the warehouse; lcm adopt if it is the"
                " same programme at another address"
            )
            yield Finding("programme", State.FAIL, found, advice)
    run = status.last_run
    if run is not None and run.has_failed:
        found = f"{run.feed} {run.first_day} to {run.last_day}: {run.state}"
        advice = "run the same lcm sync again"
        if run.error:
            # The error says whether a rerun helps, and what has to be corrected before.
            found += f": {run.error}"
            advice = "do what it says; lcm logs shows what came before"
        yield Finding("last run", State.WARN, found, advice)
    yesterday = settings.yesterday()
    if status.last_runs and not status.is_complete(yesterday, settings.max_staleness_days):
        found = f"not complete through {yesterday}"
        yield Finding("completeness", State.WARN, found, "lcm status --pending; lcm sync --missing")
    elif status.last_runs:
        yield Finding("completeness", State.OK, f"complete through {yesterday}")
    if have_old_marts(warehouse):
        found = "are those of another version, as after an upgrade that views of yours stopped"
        yield Finding("marts", State.WARN, found, "lcm migrate, which names such views")
    elif status.marts_behind:
        found = f"older than the facts or mart.parameters: {len(status.marts_behind):,}"
        advice = "lcm marts refreshes them; if totals differ, first lcm verify --all --fix"
        yield Finding("marts", State.WARN, found, advice)


def _check_keys(settings: Settings, warehouse: Warehouse) -> Finding:
    name, pseudonyms = "pseudonym key", settings.pseudonyms
    if problem := problem_with_keys(warehouse, pseudonyms):
        return Finding(name, State.FAIL, problem, "see docs/privacy.md")
    if pseudonyms:
        count = len(pseudonyms.keys)
        chain = f", after {count - 1} older" if count > 1 else ""
        return Finding(
            name, State.OK, f"is that of the warehouse{chain}: phones and cards are hashes"
        )
    if settings.pseudonym_key is not None:
        return Finding(name, State.OK, "is for erased persons alone, as LCM_PSEUDONYMIZE is 0")
    return Finding(name, State.OK, "is not set: phones and cards are stored as they come")
