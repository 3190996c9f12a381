"""Asset checks of the marts: what they themselves show to be wrong or doubtful."""

from collections.abc import Iterator

import dagster as dg

from lcm_pipeline.orchestration.resources import SyncResource
from lcm_pipeline.warehouse.queries import query

_CHECKS = {
    "residual_is_small": (
        "points_bridge_monthly",
        "What no row explains is a small share of the points of its month (residual_limit).",
    ),
    "rollforward_adds_up": (
        "points_rollforward_monthly",
        "Opening, flows and re-estimates in money make the closing, but for cents of rounding.",
    ),
    "closed_months_stay": (
        "points_bridge_monthly",
        "The newest refresh changed no figure of a month that had ended (mart.restated_answers).",
    ),
    "no_negative_balances": ("points_movements", "No client owes points to the programme."),
    "points_have_lots": ("points_movements", "All points that are owed are on a lot."),
    "spending_order_is_known": (
        "points_movements",
        "The order in which lots are redeemed is set, or the rows show it (mart.conventions).",
    ),
    "burns_are_known": (
        "points_movements",
        "Rows of the burnt bonus source hold no points, as burns do (burnt_bonus_source).",
    ),
    "cheque_points_are_known": (
        "lots",
        "Reports what the rows show of points that only cheques name (cheque_points_count).",
    ),
    "refund_points_are_known": (
        "points_movements",
        "The purchase of every refund is known; reports how refunds count (mart.conventions).",
    ),
    "bonus_redemptions_are_known": (
        "points_movements",
        "Reports what the rows show of redemptions in bonus rows (bonus_redemptions_count).",
    ),
    "no_doubtful_refunds": ("cheques", "Every negative amount is called a refund by the source."),
    "lead_statuses_are_mapped": (
        "leads_sla",
        "Statuses of new and of closed leads occur under the names that mart.parameters has.",
    ),
    "parameters_are_heeded": (
        "points_liability_daily",
        "Rows of mart.parameter_history and mart.source_breakage bear on some figure, and confirmed"
        " names parameters.",
    ),
}


@dg.multi_asset_check(
    name="checked_marts",
    specs=[
        dg.AssetCheckSpec(name, asset=dg.AssetKey(["mart", mart]), description=description)
        for name, (mart, description) in _CHECKS.items()
    ],
    can_subset=True,
)
def checked_marts(
    context: dg.AssetCheckExecutionContext, sync: dg.ResourceParam[SyncResource]
) -> Iterator[dg.AssetCheckResult]:
    """What the marts themselves show to be wrong or doubtful; warns, and blocks nothing."""
    rows = sync.session.run(lambda session: session.execute(query("mart_checks")).fetchall())
    selected = {key.name for key in context.selected_asset_check_keys}
    for name, found, description in rows:
        if name in selected:
            yield dg.AssetCheckResult(
                asset_key=dg.AssetKey(["mart", _CHECKS[name][0]]),
                check_name=name,
                passed=found == 0,
                severity=dg.AssetCheckSeverity.WARN,
                description=description,
                metadata={"found": int(found)},
            )
