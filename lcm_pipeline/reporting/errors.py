"""Errors of the reports."""

from lcm_pipeline.model.errors import UsageError


class ReportError(UsageError):
    """There is no data for the report; the message says which days exist and what to do next."""
