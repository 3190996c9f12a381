"""`lcm doctor`: check everything that the daily load depends on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from lcm_pipeline.cli.failures import FAILED
from lcm_pipeline.cli.findings_output import print_finding
from lcm_pipeline.cli.json_output import print_json
from lcm_pipeline.cli.lazy_group import lazy_import
from lcm_pipeline.doctor.examination import examine
from lcm_pipeline.doctor.findings import Finding, State
from lcm_pipeline.settings import Executor, Settings, load_settings

if TYPE_CHECKING:
    from lcm_pipeline.orchestration import diagnosis
else:
    diagnosis = lazy_import("lcm_pipeline.orchestration.diagnosis")


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for monitoring.")
    ] = False,
) -> None:
    """Check everything that a sync needs, and print how to fix what is wrong.

    Checks the settings, the disk, the warehouse (reachability, version, privileges, clock, time
    zone, schema), the executor (its broker and workers), the format of the alert addresses, and
    the service (reachability, TLS, clock, identity, and paging as measured on a few live clients).
    Changes nothing. Exit code 1: a check failed; warnings exit with 0.
    """
    findings = []
    for finding in _examine(load_settings()):
        findings.append(finding)
        if not as_json:
            print_finding(finding)
    failed = [finding.name for finding in findings if finding.state is State.FAIL]
    if as_json:
        print_json({"ok": not failed, "failed": failed, "findings": findings})
    if failed:
        raise typer.Exit(FAILED)


def _examine(settings: Settings) -> Iterator[Finding]:
    yield from examine(settings)
    # Only executors on other machines and alerts need Dagster here, which takes a second to import.
    on_other_machines: tuple[Executor, ...] = ("celery", "k8s")
    if settings.executor in on_other_machines:
        yield from diagnosis.examine_executor(settings)
    if settings.alert_addresses():
        yield from diagnosis.examine_alerts(settings)
