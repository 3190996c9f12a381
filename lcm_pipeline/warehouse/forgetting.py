"""Erasure of one person from every schema; a hash of the id keeps later syncs from restoring it.

Purchases stay, under a random negative id that belongs to no client, so sums by day, shop and month
do not change. Everything that identifies the person is erased: phone, cards, numbers of cheques and
coupons, texts of leads, unknown fields, and the rows of the outbox, the quarantine and the ledger.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import randbelow, token_bytes

import msgspec
from psycopg.sql import Identifier

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.forgotten import client_hash, key_digest
from lcm_pipeline.model.pseudonyms import Pseudonyms
from lcm_pipeline.warehouse import locks
from lcm_pipeline.warehouse.connection import Session, Warehouse
from lcm_pipeline.warehouse.ingest.state import load_forgotten, require_pseudonyms
from lcm_pipeline.warehouse.marts.refresh import forget_refreshes, refresh_marts
from lcm_pipeline.warehouse.queries import composed, query
from lcm_pipeline.warehouse.rewriting import one_rewrite_at_a_time, require_quiet

_NO_PSEUDONYMS = Pseudonyms()
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
    warehouse: Warehouse,
    client_id: int,
    key: bytes | None,
    *,
    old_keys: Sequence[bytes] = (),
    pseudonyms: Pseudonyms = _NO_PSEUDONYMS,
) -> Receipt:
    """Erase a person, in one transaction, and refresh the marts that list clients.

    Waits for another erasure or rewrite. key: of the hash and of the receipt; None for the one that
    the warehouse stores. old_keys: those with which others were erased. pseudonyms: those of the
    settings. Raises UsageError for an unknown client, BusyError, ForgottenKeyError,
    PseudonymKeyError, WarehouseLockedError.
    """
    with (
        warehouse.connect(autocommit=True, application_name="lcm forget") as session,
        one_rewrite_at_a_time(session, "lcm forget"),
    ):
        # Later syncs would miss an erasure that is recorded under a mistyped key.
        require_pseudonyms(session, pseudonyms)
        forgotten = load_forgotten(session, key, old_keys)
        if client_id in forgotten:
            hashes = [client_hash(client_id, each) for each in forgotten.keys]
            row = session.execute(query("forgotten_at"), {"client_hashes": hashes}).fetchone()
            when = f"{row[0]:%Y-%m-%d %H:%M} UTC" if row else "before"
            raise UsageError(f"client {client_id} was erased already, on {when}")
        with locks.alone(session, locks.PUBLISH, locks.REFRESH):
            require_quiet(session)
            row = session.execute(query("knows_client"), {"client_id": client_id}).fetchone()
            if row is None or not row[0]:
                raise UsageError(f"client {client_id} is not known")
            if key is None:
                made = session.execute(
                    query("store_forget_key"), {"key": token_bytes(32)}
                ).fetchone()
                key = bytes(made[0]) if made else b""
            receipt = _erase(session, client_id, key)
        names = [row[0] for row in session.execute(query("marts_of_clients")).fetchall()]
        forget_refreshes(session, names)
    refresh_marts(warehouse, names)
    return receipt


def _erase(session: Session, client_id: int, key: bytes) -> Receipt:
    hashed = client_hash(client_id, key)
    values = {"client_id": client_id, "stand_in": -1 - randbelow(2**62)}
    session.execute(
        query("remember_forgotten"), {"client_hash": hashed, "key_digest": key_digest(key)}
    )
    for name in ("lower_totals_of_client", "reopen_days_of_client", "delete_attempts_of_client"):
        session.execute(query(name), values)
    session.execute(query("number_cards"), values)
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
    pattern = rf"\m{re.escape(str(client_id))}\M"
    session.execute(query("erase_errors_of_runs"), {"name": pattern})
    kept: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for schema, table, column in session.execute(query("client_columns")).fetchall():
        is_deleted = schema == "staging" or (schema, table) in _DELETED
        statement = composed(
            "delete_client" if is_deleted else "replace_client",
            table=Identifier(schema, table),
            client_column=Identifier(column),
        )
        count = session.execute(statement, values).rowcount
        if count:
            counts = deleted if is_deleted else kept
            counts[f"{schema}.{table}"] = counts.get(f"{schema}.{table}", 0) + count
    session.execute(query("retire_stand_in"), values)
    return Receipt(hashed.hex(), datetime.now(UTC).isoformat("T", "seconds"), kept, deleted).signed(
        key
    )
