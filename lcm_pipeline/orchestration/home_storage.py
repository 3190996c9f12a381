"""Lets a bare `dagster …` command in the checkout record its runs where `lcm` does.

Without DAGSTER_HOME such a command reads the checkout's dagster.yaml, and would record into a
temporary folder. That file names this storage, which reads the settings.
"""

from collections.abc import Mapping
from typing import Any

from dagster_postgres import DagsterPostgresStorage

from lcm_pipeline.orchestration.dagster_internals import (
    ConfigurableClassData,
    DagsterSqliteStorage,
    DagsterStorage,
    UserConfigSchema,
)
from lcm_pipeline.orchestration.event_log import BatchingEventLog
from lcm_pipeline.orchestration.storage.instance import locked_home, postgres_url
from lcm_pipeline.settings import load_settings


class HomeStorage(DagsterSqliteStorage):
    """The storage in LCM_HOME or LCM_DAGSTER_DATABASE_URL; it has no configuration of its own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchingEventLog(f"{base_dir}/history/runs")

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Empty: everything comes from the settings."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        """Called by Dagster; opens the folder or the database of the settings."""
        settings = load_settings()
        url = postgres_url(settings)
        if url is not None:
            return DagsterPostgresStorage(url, should_autocreate_tables=True, inst_data=inst_data)
        with locked_home(settings) as home:
            return cls(str(home), inst_data)
