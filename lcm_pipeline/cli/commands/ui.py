"""`lcm ui`: Dagster's web page and daemon, guarded, for as long as it runs."""

import signal
from contextlib import closing
from typing import Annotated

import typer

from lcm_pipeline.orchestration.ui import BOTH, Program, check_ui, serve_ui
from lcm_pipeline.settings import load_settings


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name of a proxy before it; repeatable."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Nobody starts or changes anything by the page.")
    ] = False,
    only: Annotated[
        Program | None,
        typer.Option(help="Run one of the two alone; the other one runs elsewhere."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Run nothing: end with 1 where it does not run, with 0 else."),
    ] = False,
) -> None:
    """Open Dagster's web page: assets, runs, schedules, backfills.

    The link that is printed holds a token: a browser that opened it may start runs and turn
    schedules on; others read. Requests of other sites and for other hosts are refused. It ends with
    1 when Dagster's web server or daemon ends by itself. In containers each may run alone: give
    both one LCM_DAGSTER_DATABASE_URL.
    """
    settings = load_settings()
    programs = BOTH if only is None else (only,)
    if check:
        check_ui(settings, host=host, port=port, programs=programs)
        return
    # A service manager's SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serving = serve_ui(
        settings,
        host=host,
        port=port,
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
