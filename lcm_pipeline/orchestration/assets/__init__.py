"""The assets, one file each: what is synced, day by day. Bodies of five statements at most."""

from lcm_pipeline.orchestration.assets.clients import clients
from lcm_pipeline.orchestration.assets.favourites import favourites
from lcm_pipeline.orchestration.assets.leads import leads
from lcm_pipeline.orchestration.assets.operations import operations

ASSETS = [clients, operations, leads, favourites]

__all__ = ["ASSETS", "clients", "favourites", "leads", "operations"]
