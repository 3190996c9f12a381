"""Erasure of one person from every schema; a hash of the id keeps later syncs from restoring it.

Purchases stay, under a random negative id that belongs to no client, so sums by day, shop and month
do not change. Everything that identifies the person is erased: phone, cards, numbers of cheques and
coupons, texts of leads, unknown fields, and the rows of the outbox, the quarantine and the ledger.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import randbelow, token_bytes

import msgspec
import psycopg
from psycopg.sql import Identifier
from psycopg.types.json import Json

from lcm_pipeline.model.errors import PartialSuccessError, UsageError
from lcm_pipeline.model.forgotten import Forgotten, client_hash, key_digest
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.marts.refresh import (
    MartRefusedError,
    invalidate_refreshes,
    refresh_marts,
)
from lcm_pipeline.warehouse.privacy.client_rows import (
    ClientColumn,
    OtherTablesError,
    client_columns,
    is_known,
    other_tables,
)
from lcm_pipeline.warehouse.privacy.keys import load_forgotten, require_pseudonyms
from lcm_pipeline.warehouse.privacy.rewriting import one_rewrite_at_a_time, require_quiet
from lcm_pipeline.warehouse.queries import composed, fetch_column, fetch_value, query

logger = logging.getLogger(__name__)

# Rows that are of no use without the person; they are deleted, not kept under another id.
_DELETED = frozenset({("sync", "fetches"), ("sync", "quarantine"), ("sync", "retired_clients"),
                      ("outbox", "profile_updates")})  # fmt: skip
_ERASED = {
    "erase_operations": (("core", "operations"), ("history", "operations")),
    "erase_leads": (("core", "leads"), ("history", "leads")),
    "erase_favourites": (
        ("core", "favourite_offers"), ("history", "favourite_offers"), ("core", "favourite_goods"),
        ("core", "favourite_groups"), ("core", "favourite_stats"),
    ),
}  # fmt: skip


class MartsNotRefreshedError(PartialSuccessError):
    """The person is erased, but the marts still list them."""


@dataclass(frozen=True)
class Receipt:
    """What was erased of one person. client_hash: hexadecimal; at: ISO 8601, UTC.

    kept_without_person, deleted: rows by `schema.table`. signature: HMAC-SHA-256, hexadecimal, of
    the JSON of all other fields with sorted keys.
    """

    client_hash: str
    at: str
    kept_without_person: dict[str, int]
    deleted: dict[str, int]
    signature: str = ""

    def signed(self, key: bytes) -> "Receipt":
        """Return a copy with the signature."""
        fields = {name: value for name, value in vars(self).items() if name != "signature"}
        text = msgspec.json.encode(fields, order="sorted")
        signature = hmac.digest(key, text, "sha256").hex()
        return Receipt(**fields, signature=signature)


def forget(
    warehouse: Warehouse, client_id: int, keys: Sequence[bytes], pseudonyms: Pseudonyms
) -> Receipt:
    """Erase a person, in one transaction; `refresh_marts_of_clients` has to follow.

    Waits for another erasure or rewrite. A person who was erased before is erased again if new rows
    of them exist, such as updates in the outbox; otherwise the earlier receipt is returned, which
    an interrupted command may not have printed, and a warning logged. keys: of the settings, oldest
    first. The newest is for the hash and the receipt; without keys, the one that the warehouse
    stores. Raises UsageError for an unknown client, BusyError, ForgottenKeyError,
    PseudonymKeyError, WarehouseLockedError.
    """
    with (
        warehouse.connect(autocommit=True, application_name="lcm forget") as session,
        one_rewrite_at_a_time(session, "lcm forget"),
    ):
        # Later syncs would miss an erasure that is recorded under a mistyped key.
        require_pseudonyms(session, pseudonyms)
        forgotten = load_forgotten(session, keys)
        with locks.exclusive(session, locks.PUBLISH, locks.REFRESH):
            require_quiet(session)
            # Materialized views of the warehouse are refreshed afterwards.
            columns = [
                column
                for column in client_columns(session)
                if column.is_of_warehouse and not column.is_refreshed
            ]
            if not is_known(session, client_id, columns):
                return _earlier_receipt(session, client_id, forgotten)
            if keys:
                key = keys[-1]
            else:
                made = fetch_value(session, "store_forget_key", {"key": token_bytes(32)})
                key = bytes(made or b"")
            try:
                receipt = _erase(session, client_id, key, columns)
            except psycopg.errors.ForeignKeyViolation as error:
                table = f"{error.diag.schema_name}.{error.diag.table_name}"
                raise UsageError(
                    f"nothing was erased: {table}, which is not a table of the warehouse, refers to"
                    f" client {client_id} (constraint {error.diag.constraint_name}). Delete its"
                    " rows of the client first"
                ) from error
            # In the same transaction: if this process is killed, the next refresh computes them.
            invalidate_refreshes(session, fetch_column(session, "marts_of_clients"))
    return receipt


def refresh_marts_of_clients(warehouse: Warehouse) -> None:
    """Refresh the stored marts that list clients, which show an erased one until then.

    Separate from `forget`, because it may take long or fail, and the receipt must not depend on it.
    Raises MartsNotRefreshedError.
    """
    try:
        with warehouse.connect() as session:
            names = fetch_column(session, "marts_of_clients")
        refresh_marts(warehouse, names)
    except (psycopg.Error, MartRefusedError) as error:
        raise MartsNotRefreshedError(
            "the client is erased, but the marts could not be refreshed and still list it"
            f" ({type(error).__name__}): run lcm marts"
        ) from error


def require_no_other_rows(warehouse: Warehouse, client_id: int) -> None:
    """Raise OtherTablesError if somebody's own tables in our schemas may still list the client.

    What else they store of the person is not known, so they are left as they are.
    """
    with warehouse.connect(autocommit=True) as session:
        listed = other_tables(session, client_id, client_columns(session))
    if listed:
        raise OtherTablesError(
            f"client {client_id} is erased from the warehouse, but is or may be in tables that are"
            f" not its own: {', '.join(listed)}. Erase the client there, and refresh a materialized"
            " view"
        )


def _is_deleted(column: ClientColumn) -> bool:
    """Whether the rows of the client are deleted, and not kept under another id."""
    is_listed = (column.schema, column.table) in _DELETED
    return column.schema == "staging" or column.is_expired or is_listed


def _earlier_receipt(session: Session, client_id: int, forgotten: Forgotten) -> Receipt:
    """The receipt of a person without rows; raises UsageError if there is none."""
    values = {"client_hashes": forgotten.hashes_of(client_id)}
    found = session.execute(query("receipt_of_client"), values).fetchone()
    if found is None:
        raise UsageError(f"client {client_id} is not known")
    erased_at, receipt = found
    again = f"client {client_id} was erased already, on {erased_at:%Y-%m-%d %H:%M} UTC"
    if receipt is None:
        raise UsageError(f"{again}, by a version of lcm that did not store the receipt")
    logger.warning("%s: this is the earlier receipt", again)
    return Receipt(**receipt)


def _erase(
    session: Session, client_id: int, key: bytes, columns: Sequence[ClientColumn]
) -> Receipt:
    hashed = client_hash(client_id, key)
    values = {"client_id": client_id, "stand_in": -1 - randbelow(2**62)}
    session.execute(
        query("remember_forgotten"), {"client_hash": hashed, "key_digest": key_digest(key)}
    )
    for name in ("lower_totals_of_client", "reopen_days_of_client", "delete_attempts_of_client"):
        session.execute(query(name), values)
    session.execute(query("number_cards"), values)
    pattern = fetch_value(session, "pattern_of_numbers", values)
    session.execute(query("mask_numbers_of_client"), {**values, "pattern": pattern})
    for name in (
        "erase_registrations",
        "erase_cards_of_former_clients",
        "leave_merged_clients",
        "erase_cards",
        "erase_clients",
        "erase_client_versions",
        "erase_state",
    ):
        session.execute(query(name), values)
    for name, tables in _ERASED.items():
        for table in tables:
            session.execute(composed(name, table=Identifier(*table)), values)
    whole_number = rf"\m{client_id}\M"
    session.execute(query("erase_errors_of_runs"), {"name": whole_number})
    kept: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for column in columns:
        statement = column.compose("delete_client" if _is_deleted(column) else "replace_client")
        count = session.execute(statement, values).rowcount
        if count:
            counts = deleted if _is_deleted(column) else kept
            counts[column.table_name] = counts.get(column.table_name, 0) + count
    session.execute(query("retire_stand_in"), values)
    at = datetime.now(UTC).isoformat("T", "seconds")
    receipt = Receipt(hashed.hex(), at, kept, deleted).signed(key)
    stored = {"client_hash": hashed, "receipt": Json(vars(receipt))}
    session.execute(query("store_receipt"), stored)
    return receipt
