"""What a run has to know before it reads, and what makes the next one read again.

The polled days, how endpoints page, the first day that is stored, the erased persons, and whether
stored numbers are hashed with the keys of the settings.
"""

from collections.abc import Sequence
from datetime import date

import psycopg

from lcm_pipeline.model.forgotten import Forgotten, forgotten_by
from lcm_pipeline.model.pseudonyms import PseudonymKeyError, Pseudonyms
from lcm_pipeline.warehouse.queries import fetch_value, query


def first_polled_day(session: psycopg.Connection) -> date | None:
    """The earliest registration day that was ever polled; None before the first poll."""
    return fetch_value(session, "first_polled_day")


def polled_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range that were polled with a proven response."""
    rows = session.execute(query("polled_days"), {"first": first, "last": last})
    return {row[0] for row in rows.fetchall()}


def pending_days(session: psycopg.Connection, first: date, last: date) -> set[date]:
    """The registration days in a range whose last poll failed."""
    rows = session.execute(query("pending_days"), {"first": first, "last": last})
    return {row[0] for row in rows.fetchall()}


def known_clients(session: psycopg.Connection) -> list[tuple[str, int]]:
    """A few clients, each with a feed to request for it; clients that were read come first."""
    rows = session.execute(query("known_clients"))
    return [(row[0], row[1]) for row in rows.fetchall()]


def load_forgotten(session: psycopg.Connection, keys: Sequence[bytes]) -> Forgotten:
    """The erased persons. keys: of the settings. Raises ForgottenKeyError if one is missing."""
    rows = session.execute(query("forgotten_clients")).fetchall()
    if not rows:
        return Forgotten()
    made = [bytes(row[0]) for row in session.execute(query("forget_key")).fetchall()]
    return forgotten_by([*keys, *made], rows)


def require_pseudonyms(
    session: psycopg.Connection, pseudonyms: Pseudonyms, *, is_run: bool = False
) -> None:
    """Raise PseudonymKeyError unless all stored rows are hashed with these keys.

    is_run: for a run, whose lock the autocommit session holds. The check then waits for a
    transaction that begins a key: either that one finds the lock of the run, or this check finds
    the key.
    """
    with session.transaction():
        if is_run:
            session.execute(query("wait_for_pseudonym_key"))
        found = session.execute(query("pseudonym_keys")).fetchall()
    stored = [bytes(digest) for digest, _, _ in found]
    if stored != pseudonyms.digests or not all(is_complete for _, _, is_complete in found):
        raise PseudonymKeyError(why_keys_differ(stored, pseudonyms))


def why_keys_differ(stored: Sequence[bytes], pseudonyms: Pseudonyms) -> str:
    """What is wrong with the keys of the settings, and what to do; the text contains no key.

    stored: the digests of the keys of the warehouse.
    """
    known = pseudonyms.digests
    if list(stored) == known[: len(stored)]:
        return (
            "phones and cards are not yet stored with LCM_PSEUDONYM_KEY: run lcm pseudonymize while"
            " no sync is under way"
        )
    if not known:
        return (
            "the warehouse holds phones and cards as keyed hashes, and LCM_PSEUDONYM_KEY is not"
            " set, or LCM_PSEUDONYMIZE is 0. Set the key again: raw numbers would join with nothing"
        )
    if set(stored) <= set(known):
        return (
            "LCM_PSEUDONYM_OLD_KEYS and LCM_PSEUDONYM_KEY are the keys of the warehouse in another"
            " order: give the oldest first, and the present one as LCM_PSEUDONYM_KEY"
        )
    return (
        "LCM_PSEUDONYM_KEY is not the key that the phones and cards of this warehouse are hashed"
        " with. Set that key again; to change it, move it to LCM_PSEUDONYM_OLD_KEYS"
    )


def read_kept_from(session: psycopg.Connection) -> date | None:
    """The first business day that is stored; None without a limit.

    See `warehouse.privacy.expiration`.
    """
    return fetch_value(session, "kept_from")


def missing_clients(session: psycopg.Connection, client_ids: Sequence[int]) -> list[int]:
    """Those of the clients that are not in the roster, or are retired."""
    rows = session.execute(query("missing_clients"), {"clients": list(client_ids)})
    return [row[0] for row in rows.fetchall()]


def reset_clients(
    session: psycopg.Connection, feeds: Sequence[str], client_ids: Sequence[int] | None
) -> int:
    """Mark clients as not up to date in the feeds, so that their next reading is a full one.

    client_ids: None for all clients. Returns the number of clients.
    """
    values = {"feeds": list(feeds), "clients": None if client_ids is None else list(client_ids)}
    return int(fetch_value(session, "reset_clients", values) or 0)


def reset_days(session: psycopg.Connection) -> int:
    """Mark all registration days as not up to date; returns their number."""
    return int(fetch_value(session, "reset_days") or 0)


def abandon_commands(session: psycopg.Connection) -> None:
    """Abandon unfinished commands: resumed, they would not read again what they have published."""
    session.execute(query("abandon_commands"))


def reset_quarantined(session: psycopg.Connection) -> int:
    """Mark clients and days with rows in quarantine as not up to date; returns their number.

    The next sync reads them, also one that goes on after an interruption.
    """
    with session.transaction():
        abandon_commands(session)
        clients = session.execute(query("reset_quarantined_clients")).rowcount
        return clients + session.execute(query("reset_quarantined_days")).rowcount


def newest_day(session: psycopg.Connection, feed: str) -> date | None:
    """The last day of a feed that was published; None before its first sync."""
    return fetch_value(session, "newest_day", {"feed": feed})


def read_base(session: psycopg.Connection, feed: str) -> int | None:
    """The number of the first row in the paging of a feed's endpoint, 0 or 1; None if unknown."""
    row = session.execute(query("read_base"), {"feed": feed}).fetchone()
    return int(row[0]) if row else None


def store_base(session: psycopg.Connection, feed: str, base: int) -> None:
    """Store the number of the first row in the paging of a feed's endpoint."""
    session.execute(query("store_base"), {"feed": feed, "base": base})
