"""What is used of Dagster's private modules exists, and is imported in one module."""

import re
from importlib import import_module, metadata
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

_HOME = Path("lcm_pipeline/orchestration/dagster_internals.py")
_PRIVATE = re.compile(r"^\s*(?:from|import) (dagster\w*(?:\.\w+)*\._[\w.]+|dagster\._[\w.]+)", re.M)
_METHODS = (
    "_connect",
    "conn_string_for_shard",
    "index_connection",
    "path_for_shard",
    "prepare_insert_event_batch",
    "run_connection",
    "store_asset_event",
    "store_asset_event_tags",
    "store_event_batch",
)


def test_one_module_imports_from_the_private_modules_of_dagster() -> None:
    files = (ROOT / "lcm_pipeline").rglob("*.py")
    users = {path.relative_to(ROOT) for path in files if _PRIVATE.search(path.read_text())}
    assert users == {_HOME}


def test_the_installed_dagster_has_all_private_names_that_are_used() -> None:
    version = metadata.version("dagster")
    try:
        internals = import_module("lcm_pipeline.orchestration.dagster_internals")
    except ImportError as error:
        pytest.fail(f"Dagster {version} has moved what {_HOME} imports: {error}")
    log = internals.SqliteEventLogStorage
    lacking = [name for name in _METHODS if not hasattr(log, name)]
    assert lacking == [], f"the event log of Dagster {version} has changed: see event_log.py"
    columns = {
        internals.SqlEventLogStorageTable: {
            "id", "run_id", "asset_key", "partition", "dagster_event_type",
        },
        internals.AssetEventTagsTable: {"event_id"},
        internals.AssetCheckExecutionsTable: {"id", "run_id", "asset_key", "check_name"},
    }  # fmt: skip
    for table, used in columns.items():
        missing = used - set(table.c.keys())
        assert not missing, (
            f"{table.name} of Dagster {version} lacks {missing}: see storage/retention.py"
        )


def test_the_installed_dagster_celery_has_the_private_function_that_is_used() -> None:
    version = metadata.version("dagster-celery")
    assert hasattr(import_module("dagster_celery.executor"), "_submit_task"), (
        f"dagster-celery {version} has no _submit_task: see orchestration/celery/executor.py"
    )
