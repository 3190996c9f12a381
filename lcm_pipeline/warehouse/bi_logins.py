"""A login for dashboards: a member of lcm_bi, which reads the schema mart and nothing else.

Settings of a group do not reach its members, so they are the login's own. They win over those of
the database, which may be such that emoji or dates cannot be read.
"""

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import query

_GROUP = "lcm_bi"
_TIMEOUT = "60s"
_SETTINGS = {
    "statement_timeout": _TIMEOUT,
    "default_transaction_read_only": "on",
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "jit": "off",
}


class BiLoginError(UsageError):
    """The user of the warehouse may not make the login; the message says how to have it made."""


def ensure_bi_login(warehouse: Warehouse, *, name: str, password: str, group: str = _GROUP) -> str:
    """Make the login, or set its password; returns its address, as SQLAlchemy writes it.

    group: the group role that it is a member of, which says what it reads.

    Raises BiLoginError when LCM_DATABASE_URL's user may not.
    """
    role = Identifier(name)
    with warehouse.connect(application_name="lcm dashboards") as session:
        try:
            known = session.execute(query("role_exists"), {"name": name}).fetchone()
            if known == (False,):
                session.execute(SQL("create role {}").format(role))
            # A verifier: the password itself would lie in the log of a server that logs statements.
            verifier = session.pgconn.encrypt_password(
                password.encode(), name.encode(), b"scram-sha-256"
            ).decode()
            session.execute(
                SQL("alter role {} login password {} connection limit 30").format(
                    role, Literal(verifier)
                )
            )
            session.execute(SQL("grant {} to {}").format(Identifier(group), role))
            for setting, value in _SETTINGS.items():
                session.execute(
                    SQL("alter role {} set {} = {}").format(role, SQL(setting), Literal(value))
                )
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject) as error:
            raise BiLoginError(_advice(warehouse, str(error).strip())) from error
    return sqlalchemy_uri(warehouse.url, user=name, password=password)


def sqlalchemy_uri(url: str, *, user: str | None = None, password: str | None = None) -> str:
    """An address of Postgres as SQLAlchemy's psycopg2 reads it, with another user if one is given.

    A socket folder and all other parameters of libpq go into the query.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    if user is not None:
        parts |= {"user": user, "password": password or ""}
        for tied in ("passfile", "service", "sslcert", "sslkey"):
            parts.pop(tied, None)
    return sqlalchemy.URL.create(
        "postgresql+psycopg2",
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        database=parts.pop("dbname", None),
        query=parts,
    ).render_as_string(hide_password=False)


def _advice(warehouse: Warehouse, reason: str) -> str:
    return (
        f"The user of LCM_DATABASE_URL may not make a login for dashboards on {warehouse.place}"
        f" ({reason.splitlines()[0]}). Have one made:\n"
        f"  create role superset login password '…' in role {_GROUP};\n"
        f"  alter role superset set statement_timeout = '{_TIMEOUT}';\n"
        "and set LCM_BI_DATABASE_URL to its address"
    )
