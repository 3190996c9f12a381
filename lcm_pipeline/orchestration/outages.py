"""What a step does when the service does not respond: the daily sync tries again later.

No operator is at work so early, and an outage of an hour must not cost the day. A run that a person
launched fails at once instead, with the reason.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR, SYNC_HOUR
from lcm_pipeline.sync.errors import ServiceUnavailableError

WAITS_TAG = "lcm/waits_for_service"
# On the retries of a run by Dagster. They have the tags of the run, which has waited already.
_RETRY_TAG = "dagster/parent_run_id"
_MINUTES_BETWEEN_ATTEMPTS = 10
_MAX_WAITS = (COMPLETE_BY_HOUR - SYNC_HOUR) * 60 // _MINUTES_BETWEEN_ATTEMPTS

logger = logging.getLogger(__name__)


@contextmanager
def retry_while_unavailable(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Have Dagster run the step again in ten minutes if the service does not respond.

    Raises ServiceUnavailableError in a run that does not wait, and in the daily sync three hours
    after it began, when the day should be complete.
    """
    try:
        yield
    except ServiceUnavailableError as error:
        waits = WAITS_TAG in context.run.tags and _RETRY_TAG not in context.run.tags
        if not waits or context.retry_number >= _MAX_WAITS:
            raise
        logger.warning(
            "%s, or wait: attempt %d of %d is in %d minutes",
            error, context.retry_number + 2, _MAX_WAITS + 1, _MINUTES_BETWEEN_ATTEMPTS,
        )  # fmt: skip
        raise dg.RetryRequested(
            max_retries=_MAX_WAITS, seconds_to_wait=_MINUTES_BETWEEN_ATTEMPTS * 60
        ) from error
