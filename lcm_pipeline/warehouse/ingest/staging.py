"""The staging tables of a run: one for each core table, with the task of each row.

They are unlogged, so they are empty after a crash of the server; the publish counts their rows and
has missing ones read again. A run drops them when it ends.
"""

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from lcm_pipeline.model.tables import CoreTable
from lcm_pipeline.model.tasks import Outcome
from lcm_pipeline.warehouse.connection import Session
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.queries import column_list, fetch_value, query
from lcm_pipeline.warehouse.sessions import analyze


def make_staging(session: Session, run: Run, tables: Sequence[CoreTable]) -> None:
    """Create the missing staging tables of the run.

    A table that an older version of lcm left with other columns is dropped and created again: the
    publish notices that its rows are gone, and has them read again.
    """
    with session.transaction():
        # Two processes that join at the same time would otherwise both create the table.
        session.execute(query("lock_run"), {"run_id": run.run_id})
        for table in tables:
            wanted = ["task_id", *table.staging_columns]
            name = _staging_name(run, table)
            if fetch_value(session, "staging_columns", {"name": name}) == wanted:
                continue
            values = {
                "run_id": run.run_id,
                "table_name": table.name,
                "column_names": list(table.staging_columns),
                "column_types": list(table.staging_types),
            }
            session.execute(query("make_staging"), values)


def index_staged(session: Session, run: Run, table: CoreTable) -> None:
    """Index the run's staged rows by task."""
    session.execute(query("index_staging"), {"run_id": run.run_id, "table_name": table.name})


def analyze_staged(session: Session, run: Run, table: CoreTable) -> None:
    """Analyze the run's staged rows; only the columns of joins, which is cheaper."""
    analyze(session, f"staging.{_staging_name(run, table)}", ["task_id", *table.key])


def copy_records(session: Session, run: Run, table: CoreTable, outcomes: Sequence[Outcome]) -> None:
    """Copy the records of some outcomes into the run's staging table."""
    if not any(table.name in outcome.staged.records for outcome in outcomes):
        return
    columns = column_list(("task_id", *table.staging_columns))
    statement = SQL("/* tag: rows-staged */ copy {} ({}) from stdin (format binary)").format(
        staging_of(run, table), columns
    )
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", *table.staging_types])
        for outcome in outcomes:
            prefix = (outcome.task.task_id,)
            for record in outcome.staged.records.get(table.name, ()):
                copy.write_row(prefix + record)


def staging_of(run: Run, table: CoreTable) -> Identifier:
    """The run's staging table for a core table."""
    return Identifier("staging", _staging_name(run, table))


def _staging_name(run: Run, table: CoreTable) -> str:
    return f"{table.name}_r{run.run_id}"
