"""Errors of the warehouse that its user can mend."""

from lcm_pipeline.model.errors import UsageError


class WarehouseUnavailable(UsageError):  # noqa: N818 - the name others use
    """The warehouse cannot be used; the message names the place, what happened and what to do."""
