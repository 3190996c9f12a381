"""`lcm plan`: what a sync will cost."""

from lcm_pipeline.cli.failures import explained_identity
from lcm_pipeline.cli.options import DayOption, FromOption, ToOption, window_of
from lcm_pipeline.cli.output import print_plan
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.sync.plan import plan_window


def plan(day: DayOption = None, first: FromOption = None, last: ToOption = None) -> None:
    """Estimate what a sync will cost: requests, time at the set rate, likely rows.

    Asks the API for a few days and clients where the warehouse does not know them yet; writes
    nothing.
    """
    settings = load_settings()
    window = window_of(settings, day, first, last)
    settings.required_api_url()
    with explained_identity(), warehouse_or_empty(settings) as warehouse:
        print_plan(plan_window(settings, warehouse, window))
