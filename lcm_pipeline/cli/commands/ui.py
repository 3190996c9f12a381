"""`lcm ui`: run Dagster's web server and daemon, with access control."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import print_message
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.options import HostOption
from lcm_pipeline.orchestration.ui.programs import BOTH, Program
from lcm_pipeline.settings import load_settings

# Imported on first use: Dagster takes seconds, and the first line must come before.
if TYPE_CHECKING:
    from lcm_pipeline.orchestration.ui import supervisor
else:
    supervisor = lazy_import("lcm_pipeline.orchestration.ui.supervisor")

_DEFAULT_PORT = 3000


def ui(
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the web page; --check without it takes that of the running one.",
            show_default=str(_DEFAULT_PORT),
        ),
    ] = None,
    host: HostOption = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Host name of a reverse proxy in front of it; repeatable.",
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Allow no one to start or change anything on the page."),
    ] = False,
    only: Annotated[
        Program | None,
        typer.Option(help="Run only one of the two programs; the other runs elsewhere."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only check whether it runs: exit with 0 if it does, else with 1."
        ),
    ] = False,
) -> None:
    """Run Dagster's web interface: assets, runs, schedules, backfills.

    The printed link contains a token: a browser that opened it may start runs and turn schedules
    on; others may only read. Requests from other sites or for other hosts are refused. If Dagster's
    web server or daemon exits, the command exits with 1. In containers, run each with --only, and
    give both the same LCM_DAGSTER_DATABASE_URL.
    """
    settings = load_settings()
    programs = BOTH if only is None else (only,)
    if check:
        page = (host, port) if port else supervisor.served_address(settings)
        host, port = page or (host, _DEFAULT_PORT)
        supervisor.check_ui(settings, host=host, port=port, programs=programs)
        return
    print_message(f"starting {' and '.join(program.label for program in programs)}")
    serving = supervisor.serve_ui(
        settings,
        host=host,
        port=port or _DEFAULT_PORT,
        allowed_hosts=allow_host or (),
        is_read_only=read_only,
        programs=programs,
    )
    with closing(serving):
        try:
            for link in serving:
                print(f"Dagster: {link}  (stop with Ctrl-C)", flush=True)
        except KeyboardInterrupt:
            print("Stopping Dagster")
