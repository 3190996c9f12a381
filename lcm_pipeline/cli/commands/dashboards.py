"""`lcm dashboards`: Superset with the dashboards of the warehouse."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.bundle import bundle_of
from lcm_pipeline.superset.server import (
    ADMINISTRATOR,
    SupersetUnavailableError,
    check_port,
    find_superset,
    prepare,
    serving,
)
from lcm_pipeline.warehouse.access.bi_logins import ensure_bi_login, sqlalchemy_uri
from lcm_pipeline.warehouse.connection import demo_home, has_warehouse
from lcm_pipeline.warehouse.programme import require_time_zone
from lcm_pipeline.warehouse.status import read_overview


def dashboards(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 8088,
    environment: Annotated[
        Path, typer.Option(help="Virtual environment of Superset, as `make superset` creates it.")
    ] = Path(".venv-superset"),
) -> None:
    """Run Superset with the dashboards of the warehouse, on this machine only.

    Superset logs in to the warehouse as a member of lcm_bi, which may read only the marts: with
    LCM_BI_DATABASE_URL, or with a login that is created for it. Without a warehouse of your own,
    the dashboards show the demo's.
    """
    settings = load_settings()
    home = demo_home(settings)
    if home is not None and not has_warehouse(settings):
        typer.echo(f"No warehouse of your own yet: showing the demo's, in {home}")
        settings = settings.model_copy(update={"home": home})
    superset = find_superset(environment, settings.home_path, settings.language, settings.timezone)
    check_port(port)
    with existing_warehouse(settings) as warehouse:
        require_time_zone(warehouse, settings)
        if all(feed.rows == 0 for feed in read_overview(warehouse)):
            typer.echo("The warehouse is empty: `lcm sync` fills it, or try `lcm demo` first.")
        typer.echo(f"Preparing Superset for {warehouse.location}; the first time takes a minute")
        is_new = not superset.password_file.exists()
        bundle = bundle_of(warehouse, settings.language, settings.timezone)
        if settings.bi_database_url is not None:
            uri = sqlalchemy_uri(settings.bi_database_url.get_secret_value())
        else:
            suffix = superset.secret("login_suffix")[:8].lower().replace("-", "_")
            uri = ensure_bi_login(
                warehouse, name=f"lcm_superset_{suffix}", password=superset.secret("login_password")
            )
        prepare(superset, bundle, uri)
        with serving(superset, port) as server:
            password = superset.password_file
            shown = f"password {password.read_text().strip()}, " if is_new else "password "
            typer.echo(
                f"Superset: http://127.0.0.1:{port}/dashboard/list/  (stop with Ctrl-C)\n"
                f"  user {ADMINISTRATOR}, {shown}stored in {password}"
            )
            try:
                server.wait()
            except KeyboardInterrupt:
                typer.echo("Stopping Superset")
            else:
                raise SupersetUnavailableError(f"Superset stopped unexpectedly: see {superset.log}")
