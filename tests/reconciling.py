"""The comparisons of `verify.reconcile`, each in a session of its own."""

from lcm_pipeline.feeds import Feed
from lcm_pipeline.model.windows import Window
from lcm_pipeline.verify import reconcile
from lcm_pipeline.verify.reconcile import TotalDifferences, WindowCompleteness
from lcm_pipeline.warehouse.connection import Warehouse


def totals_differing(warehouse: Warehouse, feed: Feed) -> TotalDifferences:
    with warehouse.connect() as session:
        return reconcile.totals_differing(session, feed)


def duplicate_keys(warehouse: Warehouse, feed: Feed) -> int:
    with warehouse.connect() as session:
        return reconcile.duplicate_keys(session, feed)


def orphans(warehouse: Warehouse, feed: Feed) -> int:
    with warehouse.connect() as session:
        return reconcile.orphans(session, feed)


def completeness(warehouse: Warehouse, feed: Feed, window: Window) -> WindowCompleteness:
    with warehouse.connect() as session:
        return reconcile.completeness(session, feed, window)
