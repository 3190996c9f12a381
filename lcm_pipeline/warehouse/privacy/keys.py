"""Whether the keys of the settings are those that the warehouse was written with."""

from collections.abc import Sequence

from lcm_pipeline.model.forgotten import Forgotten, forgotten_by
from lcm_pipeline.model.pseudonyms import PseudonymKeyError, Pseudonyms
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.queries import fetch_column, query


def load_forgotten(session: Session, keys: Sequence[bytes]) -> Forgotten:
    """The erased persons. keys: of the settings. Raises ForgottenKeyError if one is missing."""
    rows = session.execute(query("forgotten_clients")).fetchall()
    if not rows:
        return Forgotten()
    made = [bytes(key) for key in fetch_column(session, "forget_key")]
    return forgotten_by([*keys, *made], rows)


def require_pseudonyms(session: Session, pseudonyms: Pseudonyms, *, is_run: bool = False) -> None:
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
