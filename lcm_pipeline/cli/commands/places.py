"""The commands that open something to look at: the demo, the made-up programme, the web pages."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.imports import large_imports


def demo(
    clients: Annotated[int, typer.Option(min=1, help="Clients of the made-up programme.")] = 400,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days to sync.")] = 14,
) -> None:
    """Show the whole way: a simulated programme, an embedded Postgres, a sync, an answer."""
    with large_imports():
        from lcm_pipeline.cli.showing import show
        from lcm_pipeline.settings import load_settings

    raise typer.Exit(show(load_settings(), clients=clients, days=days))


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8099,
    clients: Annotated[int, typer.Option(min=1, help="Clients registered by now.")] = 400,
    seed: Annotated[int, typer.Option(help="Equal seeds are equal programmes.")] = 1,
    days: Annotated[int, typer.Option(min=1, help="Days since the programme began.")] = 14,
    prefix: Annotated[str, typer.Option(help="Path prefix of the tenant.")] = "/",
    quirk: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, such as max_length=100; repeatable.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault rule as JSON; repeatable.")
    ] = None,
) -> None:
    """Serve a made-up loyalty programme over HTTP, to try the pipeline on."""
    from lcm_pipeline.cli.programme import began, now
    from lcm_pipeline.model.errors import UsageError
    from lcm_pipeline.simulator.configuration import ConfigurationError, build_config
    from lcm_pipeline.simulator.server import serve

    try:
        config = build_config(
            host=host,
            port=port,
            clients=clients,
            seed=seed,
            start=began(days),
            now=now(),
            prefix=prefix,
            quirks=tuple(quirk or ()),
            faults=tuple(fault or ()),
        )
    except ConfigurationError as error:
        # The simulator imports nothing of ours, so its error cannot be a UsageError itself.
        raise UsageError(str(error)) from error
    serve(config)


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
) -> None:
    """Open Dagster's web page: assets, runs, schedules, backfills."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.web import serve_ui

    serve_ui(settings, port)


def dashboards(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 8088,
    environment: Annotated[
        Path, typer.Option(help="Superset's own environment, as `make superset` makes it.")
    ] = Path(".venv-superset"),
) -> None:
    """Open the dashboards in Superset, over the warehouse, on this machine alone.

    Superset logs in to the warehouse as a member of lcm_bi, which reads the marts and nothing
    else: LCM_BI_DATABASE_URL, or a login that is made for it. Without a warehouse of your own it
    shows the demo's.
    """
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.dashboards import serve_dashboards

    serve_dashboards(settings, port, environment)


def bundle(
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("dashboards/bundle"),
    archive: Annotated[Path, typer.Option(help="Zip to write, as Superset imports it.")] = Path(
        "dist/lcm_dashboards.zip"
    ),
) -> None:
    """Write the dashboards as a bundle for any Superset, from dashboards/definition."""
    from lcm_pipeline.settings import load_settings

    settings = load_settings()

    from lcm_pipeline.cli.dashboards import write_bundle_files

    write_bundle_files(settings, output, archive)
