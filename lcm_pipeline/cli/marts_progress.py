"""The progress of commands that compute marts, on standard error."""

import logging
from contextlib import AbstractContextManager

from lcm_pipeline.cli.log_format import logging_to
from lcm_pipeline.warehouse.marts.progress import logger


def marts_progress() -> AbstractContextManager[None]:
    """Print lines about marts that take long while the context is open."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("lcm: %(message)s"))
    return logging_to(handler, logger)
