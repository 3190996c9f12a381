"""Optional dependencies: the extras of pyproject.toml."""

from collections.abc import Iterator
from contextlib import contextmanager

from lcm_pipeline.model.errors import UsageError


class MissingExtraError(UsageError):
    """An extra is not installed; the message names it and the command that installs it."""


@contextmanager
def requires_extra(name: str, purpose: str) -> Iterator[None]:
    """Context for imports of libraries that an extra installs.

    name: as in pyproject.toml. purpose: what needs it, the subject of the message. Raises
    MissingExtraError when a library is missing; a missing module of our own is a defect.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "lcm_pipeline":
            raise
        raise MissingExtraError(
            f"{purpose} needs the extra {name}, and {error.name} is not installed:"
            f" pip install 'lcm_pipeline[{name}]'"
        ) from error
