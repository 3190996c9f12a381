"""A login for dashboards: a member of lcm_bi, which reads the schema mart and nothing else.

Members of a group role do not inherit its settings, so they are set on the login itself. There they
override the settings of the database, with which a BI tool might misread emoji or dates.
"""

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.texts import database_message
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import fetch_value

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
    """The user of the warehouse may not create the login; the message contains the statements."""


def ensure_bi_login(warehouse: Warehouse, *, name: str, password: str, group: str = _GROUP) -> str:
    """Create the login, or set its password; returns its SQLAlchemy URL.

    group: the group role that the login joins, which decides what it may read.

    Raises BiLoginError when the user of LCM_DATABASE_URL may not create it.
    """
    role = Identifier(name)
    with warehouse.connect(application_name="lcm dashboards") as session:
        try:
            if not fetch_value(session, "role_exists", {"name": name}):
                session.execute(SQL("create role {}").format(role))
            # Send a SCRAM verifier: a server that logs statements would log the password itself.
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
            reason = database_message(str(error))
            raise BiLoginError(
                "The user of LCM_DATABASE_URL may not create a login for dashboards on"
                f" {warehouse.location} ({reason}). Have one created:\n"
                f"  create role superset login password '…' in role {_GROUP};\n"
                f"  alter role superset set statement_timeout = '{_TIMEOUT}';\n"
                "and set LCM_BI_DATABASE_URL to its address"
            ) from error
    return sqlalchemy_uri(warehouse.url, user=name, password=password)


def sqlalchemy_uri(url: str, *, user: str | None = None, password: str | None = None) -> str:
    """The SQLAlchemy URL (psycopg2 dialect) of a Postgres address, with another user if given.

    A socket folder and all other libpq parameters go into its query.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    if user is not None:
        parts |= {"user": user, "password": password or ""}
        # These identify the user of the original address.
        for name in ("passfile", "service", "sslcert", "sslkey"):
            parts.pop(name, None)
    return sqlalchemy.URL.create(
        "postgresql+psycopg2",
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        database=parts.pop("dbname", None),
        query=parts,
    ).render_as_string(hide_password=False)
