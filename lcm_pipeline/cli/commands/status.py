"""`lcm status`: what the warehouse holds."""

from lcm_pipeline.cli.output import print_status
from lcm_pipeline.cli.warehouse import migrated_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.status import read_overview


def status() -> None:
    """Say, for each table, through which day it is complete, its rows, what is pending."""
    with migrated_warehouse(load_settings()) as warehouse:
        print_status(read_overview(warehouse))
