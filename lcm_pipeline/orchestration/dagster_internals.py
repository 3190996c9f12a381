"""All imports from Dagster's private modules: there is no public way to do the same.

The storage classes and tables are needed to store a range of days at once (event_log.py), to delete
old runs but not what they materialized (storage/retention.py), to let a bare `dagster` command
record where `lcm` does (home_storage.py), and to tell one storage from another
(storage/instance.py); the workspace to serve Dagster's page behind a guard (ui/web.py); the server
of a run's process, to notice that it died and to terminate it (run_launcher.py).
No other module imports from `dagster._…`; a test names what a new Dagster version has moved. Of the
optional dagster-celery, celery/executor.py imports one private function.
"""

from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._grpc.types import (
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CancelExecutionRequest,
)
from dagster._serdes import ConfigurableClassData, deserialize_value

__all__ = [
    "GRPC_INFO_TAG",
    "INDEX_SHARD_NAME",
    "SQLITE_BUSY_TIMEOUT_SECONDS",
    "AssetCheckExecutionsTable",
    "AssetEventTagsTable",
    "CanCancelExecutionRequest",
    "CanCancelExecutionResult",
    "CancelExecutionRequest",
    "CheckRunHealthResult",
    "ConfigurableClassData",
    "DagsterSqliteStorage",
    "DagsterStorage",
    "DagsterUserCodeUnreachableError",
    "LaunchRunContext",
    "ModuleTarget",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqlRunStorage",
    "SqliteEventLogStorage",
    "UserConfigSchema",
    "WorkerStatus",
    "WorkspaceProcessContext",
    "deserialize_value",
]
