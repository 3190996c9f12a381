"""The progress of commands that compute marts, on standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

MARTS_LOGGER = "lcm_pipeline.warehouse.marts.progress"


@contextmanager
def marts_progress() -> Iterator[None]:
    """Print lines about marts that take long while the context is open."""
    logger = logging.getLogger(MARTS_LOGGER)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("lcm: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
