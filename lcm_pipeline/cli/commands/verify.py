"""`lcm verify`: compare the warehouse with the source, and repair what differs."""

from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import INCOMPLETE, explaining_refused_credentials, print_message
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.cli.marts_progress import marts_progress
from lcm_pipeline.cli.output import console
from lcm_pipeline.cli.progress_log import command_progress
from lcm_pipeline.cli.results import print_reports, print_verification
from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.warehouse.clock import warn_of_other_clock
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.privacy.keys import require_pseudonyms
from lcm_pipeline.warehouse.programme import require_programme

if TYPE_CHECKING:
    from lcm_pipeline.sync import engine
    from lcm_pipeline.verify import repair
    from lcm_pipeline.verify import verify as comparison
else:
    engine = lazy_import("lcm_pipeline.sync.engine")
    repair = lazy_import("lcm_pipeline.verify.repair")
    comparison = lazy_import("lcm_pipeline.verify.verify")


def verify(
    sample: Annotated[
        int,
        typer.Option(
            min=1, max=LARGEST_INTEGER, help="Number of clients to compare, drawn at random."
        ),
    ] = 100,
    everyone: Annotated[bool, typer.Option("--all", help="Compare every client.")] = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Read the clients that differ again in full, and publish them."),
    ] = False,
) -> None:
    """Read clients from the API again and report which differ, and in which rows.

    Without --fix nothing is written to the warehouse. With it, clients that differ are read in
    full, published under the usual proofs and the delete fuse, and compared again. The marts are
    refreshed, unless the totals of other clients still differ. Exit code 3 if something still
    differs, or could not be compared, and 2 if there is no client to compare.
    """
    settings = load_settings()
    settings.required_api_url()
    with explaining_refused_credentials(), existing_warehouse(settings) as warehouse:
        warn_of_other_clock(warehouse)
        require_programme(warehouse, settings)
        with warehouse.connect(autocommit=True, application_name="lcm keys") as session:
            require_pseudonyms(session, settings.pseudonyms)
        with command_progress() as progress:
            found = comparison.verify_clients(
                settings, warehouse, None if everyone else sample, progress
            )
        if not found.clients:
            raise UsageError(
                f"The warehouse {warehouse.location} holds no client that was read, so there is"
                " nothing to verify: run lcm sync --missing, or lcm status to see what it holds"
            )
        print_verification(found)
        is_clean = found.is_clean
        if fix and found.differences:
            is_clean = _repair(settings, warehouse, found) and not found.unproven
    if not is_clean:
        raise typer.Exit(INCOMPLETE)


def _repair(settings: Settings, warehouse: Warehouse, found: "comparison.Verification") -> bool:
    """Read the clients that differ again; return whether nothing differs after that."""
    console.print("\nReading the clients that differ again:")
    with command_progress() as progress:
        repaired = repair.repair_clients(engine.SyncEngine(settings, warehouse, progress), found)
    print_reports(repaired.reports)
    console.print("\nCompared with the source once more:")
    print_verification(repaired.left)
    with marts_progress():
        wrong = repair.refresh_after_repair(warehouse)
    if wrong:
        print_message(
            f"totals still differ in {', '.join(wrong)}, so the marts keep their rows: lcm verify"
            " --all --fix compares every client"
        )
    return repaired.left.is_clean and not wrong
