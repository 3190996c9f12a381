"""Hashes stored phones and cards with a key that was added: numbers, or hashes of older keys.

Some thousand clients at a time. Each batch is a transaction, which also records the progress, so an
interrupted rewrite is resumed. The keys stay in this process: the server receives numbers and
hashes, and no statement contains a key.

Later readings find equal rows: the hashes, and the digests of headers and days, are those that a
reading computes with the whole chain of keys.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.pseudonyms import PseudonymKeyError, Pseudonyms
from lcm_pipeline.model.tables import CORE_TABLES
from lcm_pipeline.settings import Settings
from lcm_pipeline.transform.pseudonyms import mask_extra, mask_numbers
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.privacy.keys import load_forgotten, why_keys_differ
from lcm_pipeline.warehouse.privacy.rewriting import one_rewrite_at_a_time, require_quiet
from lcm_pipeline.warehouse.queries import composed, fetch_column, fetch_value, query
from lcm_pipeline.warehouse.sessions import ReconnectingSession

_CLIENTS_AT_ONCE = 5_000
_FIRST, _LAST = -(2**63), 2**63 - 1
_PHONES = (("core", "clients", "phone"), ("history", "clients", "phone"))
_CARDS = (
    ("core", "registrations", "card_number"),
    ("core", "registrations", "out_number"),
    ("core", "cards", "card_number"),
    ("core", "cards", "out_number"),
)
_WITH_EXTRA = (
    *(("core", table.name) for table in CORE_TABLES),
    *(("history", table.name) for table in CORE_TABLES if table.has_history),
)


@dataclass(frozen=True)
class _Stored:
    """The keys of the warehouse. through: the last client rewritten with the newest of them."""

    digests: list[bytes]
    through: int | None
    is_complete: bool


def use_keys(warehouse: Warehouse, settings: Settings) -> int:
    """Hash stored rows with new keys of the settings; returns the number of those keys.

    Costs one query if there is no new key. Waits for another rewrite. Raises PseudonymKeyError if
    the keys are not those of the warehouse, ForgottenKeyError, BusyError, WarehouseLockedError.
    """
    # A lost session is replaced: the rewrite goes on after its last batch.
    with ReconnectingSession(warehouse, "lcm pseudonymize") as reconnecting:
        return reconnecting.run(partial(_use_keys, settings=settings))


def _use_keys(session: Session, settings: Settings) -> int:
    pseudonyms = settings.pseudonyms
    # Only for its error: without their keys, a sync could bring erased persons back.
    load_forgotten(session, settings.pseudonym_keys)
    if not _missing(session, pseudonyms):
        return 0
    with one_rewrite_at_a_time(session, "lcm pseudonymize"):
        # Another process may have done it while this one waited.
        missing = _missing(session, pseudonyms)
        if missing:
            with locks.exclusive(session, locks.PUBLISH):
                require_quiet(session)
        for number in missing:
            _rewrite(session, pseudonyms, number)
        return len(missing)


def _missing(session: Session, pseudonyms: Pseudonyms) -> list[int]:
    """The numbers of the keys with which rows have still to be hashed; raises PseudonymKeyError."""
    stored, known = _read(session), pseudonyms.digests
    if stored.digests != known[: len(stored.digests)]:
        raise PseudonymKeyError(why_keys_differ(stored.digests, pseudonyms))
    done = len(stored.digests) - (not stored.is_complete)
    return list(range(done + 1, len(known) + 1))


def _read(session: Session) -> _Stored:
    found = session.execute(query("pseudonym_keys")).fetchall()
    through, is_complete = (found[-1][1], found[-1][2]) if found else (None, True)
    return _Stored([bytes(digest) for digest, _, _ in found], through, is_complete)


def _rewrite(session: Session, pseudonyms: Pseudonyms, number: int) -> None:
    """Hash all stored rows with one key, in batches."""
    key = pseudonyms.only(number)
    with locks.exclusive(session, locks.PUBLISH):
        has_rows = fetch_value(session, "has_personal_rows")
        is_empty = not has_rows and not _expired_columns(session)
        values = {"key_number": number, "key_digest": key.digests[0], "is_complete": is_empty}
        session.execute(query("begin_pseudonym_key"), values)
        # Checked after the insert: a run that joins from now on waits for this transaction, see
        # `require_pseudonyms`; a run that joined before is found here.
        require_quiet(session)
        # What unfinished runs have staged without the new key is read again.
        for table in fetch_column(session, "staged_tables"):
            session.execute(SQL("delete from {}").format(Identifier("staging", table)))
        session.execute(query("reread_staged_tasks"))
        session.execute(query("forget_digests_of_tasks"))
    is_done = False
    while not is_done:
        with locks.exclusive(session, locks.PUBLISH):
            is_done = _rewrite_batch(session, key, number)


def _rewrite_batch(session: Session, key: Pseudonyms, number: int) -> bool:
    """Hash the next clients, or after the last one the days; returns whether that was the end."""
    stored = _read(session)
    if len(stored.digests) > number or stored.is_complete:
        return True
    after = _FIRST if stored.through is None else stored.through
    if after == _LAST:
        # Listed after the last batch: a month that is still attached now was rewritten by them.
        for schema, table, column in _expired_columns(session):
            statement = composed(
                "empty_column", table=Identifier(schema, table), emptied_column=Identifier(column)
            )
            session.execute(statement)
        _rewrite_days(session, key)
        session.execute(query("complete_pseudonym_key"), {"key_number": number})
        return True
    values = {"after": after, "most": _CLIENTS_AT_ONCE}
    found = session.execute(query("next_pseudonym_clients"), values).fetchone()
    # The last batch also includes rows of clients that are not in the roster.
    through = found[0] if found and found[0] is not None else _LAST
    _rewrite_clients(session, key, {"after": after, "through": through})
    values = {"key_number": number, "through_client": through}
    session.execute(query("pass_pseudonym_clients"), values)
    return False


def _expired_columns(session: Session) -> list[tuple[str, str, str]]:
    """Columns with personal data of months that LCM_RETENTION_MONTHS no longer holds.

    A reader keeps such a month from being dropped. Nobody needs its phones, so they are emptied.
    """
    rows = session.execute(query("personal_columns_of_expired_months")).fetchall()
    return [(schema, table, column) for schema, table, column in rows]


def _rewrite_clients(session: Session, key: Pseudonyms, batch: dict[str, Any]) -> None:
    _replace_numbers(session, "phones_of_clients", _PHONES, key.phone, batch)
    _replace_numbers(session, "cards_of_clients", _CARDS, key.card, batch)
    headers = session.execute(query("header_digests_of_clients"), batch).fetchall()
    if headers:
        session.execute(
            query("replace_header_digests"),
            {
                "feeds": [feed for feed, _, _ in headers],
                "clients": [client for _, client, _ in headers],
                "digests": [key.digest(bytes(digest)) for _, _, digest in headers],
            },
        )
    _replace_quarantine(session, key, {**batch, "without_client": False})
    for table in _WITH_EXTRA:
        name = Identifier(*table)
        extras = session.execute(composed("extras_of_clients", table=name), batch).fetchall()
        masked = [(*row, hidden) for *row, text in extras if (hidden := mask_extra(text)) != text]
        if masked:
            session.execute(
                composed("replace_extras", table=name),
                {
                    "tables": [place_table for place_table, _, _ in masked],
                    "places": [place for _, place, _ in masked],
                    "extras": [extra for _, _, extra in masked],
                },
            )


def _replace_numbers(
    session: Session,
    listed: str,
    columns: Iterable[tuple[str, str, str]],
    hashed: Callable[[int | None], int | None],
    batch: dict[str, Any],
) -> None:
    numbers = fetch_column(session, listed, batch)
    if not numbers:
        return
    values = {**batch, "numbers": numbers, "replacements": [hashed(number) for number in numbers]}
    for schema, table, column in columns:
        session.execute(
            composed(
                "replace_numbers", table=Identifier(schema, table), number_column=Identifier(column)
            ),
            values,
        )


def _replace_quarantine(session: Session, key: Pseudonyms, batch: dict[str, Any]) -> None:
    rows = session.execute(query("quarantine_of_clients"), batch).fetchall()
    if rows:
        session.execute(
            query("replace_quarantine"),
            {
                "ids": [number for number, _, _ in rows],
                "raws": [mask_numbers(raw) for _, raw, _ in rows],
                "digests": [key.digest(bytes(digest)) for _, _, digest in rows],
            },
        )


def _rewrite_days(session: Session, key: Pseudonyms) -> None:
    without_client = {"after": _LAST, "through": _LAST, "without_client": True}
    _replace_quarantine(session, key, without_client)
    days = session.execute(query("digests_of_days")).fetchall()
    if days:
        session.execute(
            query("replace_digests_of_days"),
            {
                "days": [day for day, _ in days],
                "digests": [key.digest(bytes(digest)) for _, digest in days],
            },
        )
