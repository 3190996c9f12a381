"""All asset checks, and those whose last result is a failure."""

from collections.abc import Collection

import dagster as dg

from lcm_pipeline.orchestration.checks.feeds import FEED_CHECKS
from lcm_pipeline.orchestration.checks.marts import checked_marts
from lcm_pipeline.orchestration.checks.outbox import no_update_is_stuck

CHECKS = [checked_marts, *FEED_CHECKS, no_update_is_stuck]


def failed_checks(instance: dg.DagsterInstance, before: Collection[str]) -> list[str]:
    """The checks whose last result is a failure, but that let their run succeed, as `ASSET: CHECK`.

    Warnings are not among them. before: those of the last call; a check that a run is about to
    repeat stays as it was.
    """
    keys = [spec.key for checks in CHECKS for spec in checks.check_specs if not spec.blocking]
    failed = []
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key, record in records.items():
        name = f"{key.asset_key.to_user_string()}: {key.name}"
        result = record.event.asset_check_evaluation if record.event is not None else None
        if result is None:
            has_failed = name in before
        else:
            has_failed = not result.passed and result.severity is dg.AssetCheckSeverity.ERROR
        if has_failed:
            failed.append(name)
    return sorted(failed)
