"""Errors of the warehouse that its user can mend."""

from lcm_pipeline.model.errors import UsageError


class WarehouseUnavailableError(UsageError):
    """The warehouse cannot be used; the message names the place, what happened and what to do."""
