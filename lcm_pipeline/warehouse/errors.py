"""Errors of the warehouse that its user can do something about."""

from lcm_pipeline.model.errors import UsageError, UserError


class WarehouseUnavailableError(UsageError):
    """The warehouse cannot be used; the message names the place, what happened and what to do."""


class WarehouseLockedError(UserError):
    """A lock was not to be had; the message names who holds it."""

    def __init__(self, waiter: str, blockers: str) -> None:
        super().__init__(
            f"{waiter} waited in vain for a lock in the warehouse that is held by {blockers}."
            " Nothing is lost: end that transaction, then run the same command again"
        )
