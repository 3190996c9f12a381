"""What can be wrong with the wish for a report."""

from lcm_pipeline.model.errors import UsageError


class ReportError(UsageError):
    """There is no such day to report; the message says which days there are and what to do."""
