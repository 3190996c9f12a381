"""`lcm worker`: run steps of syncs that other processes start, through Celery."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.settings import load_settings

if TYPE_CHECKING:
    from lcm_pipeline.orchestration import worker as celery_worker
else:
    celery_worker = lazy_import("lcm_pipeline.orchestration.worker")


def worker(
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots",
            "-c",
            min=1,
            max=64,
            help="Steps to run at once, each in its own process.",
            show_default="number of cores",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name in Dagster and the log.", show_default="from the process id"
        ),
    ] = None,
) -> None:
    """Run steps of syncs with LCM_EXECUTOR=celery, until stopped.

    Needs lcm_pipeline[celery], LCM_CELERY_BROKER, and the same settings as the command whose steps
    it runs: LCM_READERS, LCM_API_URL and its identity, LCM_DATABASE_URL, LCM_DAGSTER_DATABASE_URL.
    Start any number of workers, on any machine that reaches the broker, the API and both databases.

    Ctrl-C or SIGTERM once: the worker accepts no more steps, and exits when its current steps are
    done. Twice: it cancels them. If a worker is lost, the others take over: the clients that it was
    reading immediately, and its steps within a minute.

    Examples: [bold]lcm worker[/bold], [bold]lcm worker --slots 4 --name reader-1[/bold]
    """
    settings = load_settings()
    name = name or f"lcm-{os.getpid()}"
    code = celery_worker.serve_steps(settings, name, slots or os.cpu_count() or 1)
    if code:
        raise typer.Exit(code)
