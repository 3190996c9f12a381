"""The statements of a publish, composed from the definition of a table in `model.tables`.

They run inside one transaction, over a view `incoming_<table>` of the staged rows to publish. Rows
are compared before they are written, so a row that did not change is not even locked.
"""

from datetime import date

from psycopg.sql import SQL, Composed, Identifier, Literal

from lcm_pipeline.model.tables import WHOLE_CLIENTS, CoreTable, NameDimension
from lcm_pipeline.warehouse.ingest.runs import Run
from lcm_pipeline.warehouse.ingest.tasks import staging_of
from lcm_pipeline.warehouse.queries import column_list, composed


def incoming_view(run: Run, table: CoreTable, among: tuple[int, int]) -> Composed:
    """Create a view of the staged rows of the tasks in `publishing`; dropped with that table.

    among: the first and the last of these tasks, so that the index of `index_staged` is used.
    """
    return SQL(
        "create or replace temp view {} as select {}, publishing.read_at, publishing.reading"
        " from {} as staged join publishing on publishing.task_id = staged.task_id"
        " where staged.task_id between {} and {}"
    ).format(
        _incoming(table),
        column_list([c for c in table.landing_columns if c != "extra"], "staged")
        + SQL(", staged.extra::jsonb as extra"),
        staging_of(run, table),
        *map(Literal, among),
    )


def count_staged(
    run: Run, table: CoreTable, among: tuple[int, int], kept_from: date | None
) -> Composed:
    """Count the staged rows of each task of a range, and those of days before the first one kept.

    Those were read before that day moved on.
    """
    is_expired: SQL | Composed = SQL("false")
    if kept_from is not None and table.is_held_for_months and table.date_column is not None:
        is_expired = SQL("{} < {}").format(Identifier(table.date_column), Literal(kept_from))
    return SQL(
        "select task_id, count(*) as staged, count(*) filter (where {}) as expired"
        " from {} where task_id between {} and {} group by 1"
    ).format(is_expired, staging_of(run, table), *map(Literal, among))


def analyze_changed(table: CoreTable) -> Composed:
    """Analyze the rows that `collect_changed` has collected; only the columns of joins."""
    return SQL("analyze {} ({}, is_new, was_deleted)").format(
        _changed(table), column_list(table.key)
    )


def incoming_days(table: CoreTable) -> Composed:
    """Select the first and the last day of the incoming rows of a table with days."""
    return SQL("select min({day}), max({day}) from {incoming}").format(
        day=Identifier(table.date_column or ""), incoming=_incoming(table)
    )


def collect_changed(table: CoreTable, days: tuple[date, date] | None) -> Composed:
    """Collect the incoming rows that are new, different, or were deleted.

    days: the first and the last of the incoming rows, None if rows have no day. As constants they
    let the planner prune the partitions of other months.
    """
    within: SQL | Composed = SQL("")
    if days is not None:
        within = SQL(" and stored.{} between {} and {}").format(
            Identifier(table.date_column or ""), Literal(days[0]), Literal(days[1])
        )
    return SQL(
        "create temp table {changed} on commit drop as select {columns},"
        " stored.sync_run_id is null as is_new, stored.deleted_at is not null as was_deleted"
        " from {incoming} as incoming left join core.{name} as stored on {same}{within}"
        " where stored.sync_run_id is null or stored.deleted_at is not null"
        " or ({theirs}) is distinct from ({ours})"
    ).format(
        within=within,
        changed=_changed(table),
        columns=column_list(table.columns, "incoming"),
        incoming=_incoming(table),
        name=Identifier(table.name),
        same=_equal(table.key, "stored", "incoming"),
        theirs=column_list(_values(table), "stored"),
        ours=column_list(_values(table), "incoming"),
    )


def views_of_new(table: CoreTable) -> Composed:
    """Create `changed` and `gone` as views for new tasks: all rows are new, and none is gone."""
    return SQL(
        "create temp view {changed} as select {columns}, true as is_new, false as was_deleted"
        " from {incoming}; create temp view {gone} as select {key} from {incoming} where false"
    ).format(
        changed=_changed(table),
        gone=_gone(table),
        columns=column_list(table.columns),
        key=column_list(table.key),
        incoming=_incoming(table),
    )


def insert_new(table: CoreTable) -> Composed:
    """Insert all incoming rows, none of which is stored yet; parameter: the run.

    They are read in the order in which they were staged, which is client by client.
    """
    return SQL(
        "insert into core.{name} ({columns}, sync_run_id, first_seen_at, synced_at)"
        " select {columns}, %(run_id)s, now(), now() from {incoming}"
    ).format(
        name=Identifier(table.name), columns=column_list(table.columns), incoming=_incoming(table)
    )


def collect_doubtful(table: CoreTable) -> Composed:
    """Collect the clients that may have a row which moved here from another day.

    A full reading does not need this: it shows that the row of the old day is gone. A delta returns
    only some rows of a client, and the new total. A moved row is new on its day, but was in the
    former total already; so was a row that was in quarantine, and a vanished row lowers the total.
    So the number of new rows is never below the growth of the total, unless new rows went into
    quarantine. If the two are equal, no row has moved.
    """
    return SQL(
        "create temp table {doubtful} on commit drop as select publishing.client_id"
        " from publishing join {changed} as changed on changed.client_id = publishing.client_id"
        " where publishing.reading <> 'full' and (changed.is_new or changed.was_deleted)"
        " group by publishing.client_id, publishing.task_id, publishing.rows,"
        " publishing.known_total, publishing.quarantined"
        " having publishing.quarantined > 0"
        " or count(*) is distinct from publishing.rows - publishing.known_total"
    ).format(doubtful=_doubtful(table), changed=_changed(table))


def analyze_doubtful(table: CoreTable) -> Composed:
    """Analyze the clients that `collect_doubtful` has collected."""
    return SQL("analyze {}").format(_doubtful(table))


def collect_gone(table: CoreTable, kept_from: date | None) -> Composed:
    """Collect the keys of live rows that a covering reading did not return, or on another day.

    kept_from: the first day that is kept, None if all are. Rows of earlier days are not returned by
    readings, and are still stored while their month cannot be dropped.
    """
    assert table.covered_by is not None  # noqa: S101 - the others have a publish_query
    held = is_kept(table, kept_from)
    gone = SQL(
        "create temp table {gone} on commit drop as select {key} from core.{name} as stored"
        " join {covered} as covered on {in_scope} where stored.deleted_at is null"
        # Negative ids are rows of erased persons, which the source never returns.
        " and stored.client_id > 0 and {is_kept}"
        " and not exists (select from {incoming} as incoming where {same})"
    ).format(
        is_kept=held,
        gone=_gone(table),
        key=column_list(table.key, "stored"),
        name=Identifier(table.name),
        covered=Identifier(table.covered_by.relation),
        in_scope=_equal(table.covered_by.columns, "stored", "covered"),
        incoming=_incoming(table),
        same=_equal(table.key, "stored", "incoming"),
    )
    if table.date_column is None:
        return gone
    return gone + _moved_to_another_day(table) + SQL(" and ") + held


def analyze_gone(table: CoreTable) -> Composed:
    """Analyze the keys that `collect_gone` has collected."""
    return SQL("analyze {}").format(_gone(table))


def collect_moved(table: CoreTable, kept_from: date | None) -> Composed:
    """Collect live rows of retired clients that other clients have now; parameter: the feed.

    kept_from: as in `collect_gone`; totals do not include the rows of earlier days.
    """
    same = tuple(name for name in table.key if name != "client_id")
    return composed(
        "collect_moved_rows",
        moved=_moved(table),
        key=column_list(table.key, "stored"),
        core=Identifier("core", table.name),
        gone=_gone(table),
        is_gone=_equal(table.key, "gone", "stored"),
        changed=_changed(table),
        is_kept=is_kept(table, kept_from),
        is_changed=_equal(same, "changed", "stored"),
        is_same=_equal(same, "present", "stored"),
    )


def add_moved_to_gone(table: CoreTable) -> Composed:
    """Add the rows that `collect_moved` has collected to the rows to delete."""
    return SQL("insert into {gone} select * from {moved}").format(
        gone=_gone(table), moved=_moved(table)
    )


def lower_totals(table: CoreTable) -> Composed:
    """Subtract the moved rows from the totals of their former clients; parameter: the feed."""
    return composed("lower_totals_of_retired", moved=_moved(table))


def count_lost(table: CoreTable) -> Composed:
    """Count the gone rows that did not reappear on another day or with another client.

    Merging cards moves a history to another client; it is not lost.
    """
    elsewhere = tuple(name for name in table.identity if name != "client_id")
    return SQL(
        "select count(*) from {gone} as gone where not exists"
        " (select from {changed} as changed where {same})"
    ).format(
        gone=_gone(table),
        changed=_changed(table),
        same=_equal(elsewhere, "changed", "gone"),
    )


def store_history(table: CoreTable) -> Composed:
    """Copy the rows that are about to be updated or deleted into history."""
    columns = (*table.columns, "sync_run_id", "first_seen_at", "synced_at", "deleted_at")
    return SQL(
        "insert into history.{name} ({columns}, valid_from, valid_to)"
        " select {stored}, stored.synced_at, now() from core.{name} as stored join"
        " (select {key} from {changed} where not is_new union select {key} from {gone}) as replaced"
        " on {same}"
    ).format(
        name=Identifier(table.name),
        columns=column_list(columns),
        stored=column_list(columns, "stored"),
        key=column_list(table.key),
        changed=_changed(table),
        gone=_gone(table),
        same=_equal(table.key, "stored", "replaced"),
    )


def write_changed(table: CoreTable) -> Composed:
    """Insert or update the changed rows; parameter: the run.

    Sorted by client: in the order of the join, each row would go to another index page.
    """
    return SQL(
        "insert into core.{name} ({columns}, sync_run_id, first_seen_at, synced_at)"
        " select {columns}, %(run_id)s, now(), now() from {changed} order by {order}"
        " on conflict ({key}) do update set {set}, deleted_at = null,"
        " sync_run_id = excluded.sync_run_id, synced_at = excluded.synced_at"
    ).format(
        name=Identifier(table.name),
        columns=column_list(table.columns),
        changed=_changed(table),
        order=column_list(table.identity),
        key=column_list(table.key),
        set=_assignments(_values(table)),
    )


def mark_gone(table: CoreTable) -> Composed:
    """Mark the gone rows as deleted; parameter: the run."""
    return SQL(
        "update core.{name} as stored set deleted_at = now(), synced_at = now(),"
        " sync_run_id = %(run_id)s from {gone} as gone where {same}"
    ).format(
        name=Identifier(table.name), gone=_gone(table), same=_equal(table.key, "stored", "gone")
    )


def record_days(table: CoreTable) -> Composed:
    """Record the days of the changed and the gone rows, for marts by day; parameter: table_name."""
    assert table.date_column is not None  # noqa: S101 - called for tables with days only
    return composed(
        "record_changed_days",
        day=Identifier(table.date_column),
        changed=_changed(table),
        gone=_gone(table),
    )


def store_names(dimension: NameDimension) -> Composed:
    """Store the newest names from incoming rows; parameter: the run."""
    return SQL(
        "insert into core.{name} as stored"
        " ({columns}, named_at, sync_run_id, first_seen_at, synced_at)"
        " select distinct on ({key}) {theirs}, {moment}, %(run_id)s, now(), now() from {source}"
        " where {key} is not null and {label} <> ''"
        " order by {key}, {moment} desc, {label} desc"
        " on conflict ({own_key}) do update set {set}, named_at = excluded.named_at,"
        " sync_run_id = excluded.sync_run_id, synced_at = excluded.synced_at"
        " where (excluded.named_at, excluded.name) > (stored.named_at, stored.name)"
    ).format(
        name=Identifier(dimension.name),
        columns=column_list(tuple(dimension.columns)),
        theirs=column_list(tuple(dimension.columns.values())),
        key=Identifier(dimension.columns[dimension.key]),
        own_key=Identifier(dimension.key),
        label=Identifier(dimension.columns["name"]),
        moment=Identifier(dimension.moment),
        source=Identifier(f"incoming_{dimension.source}"),
        set=_assignments([name for name in dimension.columns if name != dimension.key]),
    )


def moves_within_clients(table: CoreTable) -> bool:
    """Whether the total of a client can show that none of its rows moved to another day."""
    return table.date_column is not None and table.covered_by is WHOLE_CLIENTS


def _moved_to_another_day(table: CoreTable) -> Composed:
    assert table.date_column is not None  # noqa: S101 - checked by collect_gone
    # A lookup searches the partitions of all months, so only doubtful clients are looked up.
    among: SQL | Composed = SQL("")
    if moves_within_clients(table):
        among = SQL(
            " join {doubtful} as doubtful on doubtful.client_id = changed.client_id"
        ).format(doubtful=_doubtful(table))
    return SQL(
        " union select {key} from {changed} as changed{among} join core.{name} as stored on {same}"
        " where stored.{day} <> changed.{day} and stored.deleted_at is null"
        " and (changed.is_new or changed.was_deleted)"
    ).format(
        among=among,
        key=column_list(table.key, "stored"),
        name=Identifier(table.name),
        changed=_changed(table),
        same=_equal(table.identity, "stored", "changed"),
        day=Identifier(table.date_column),
    )


def is_kept(table: CoreTable, kept_from: date | None) -> SQL | Composed:
    """Whether the day of a row of `stored` is kept; a constant, so that months are pruned."""
    if kept_from is None or not table.is_held_for_months or table.date_column is None:
        return SQL("true")
    return SQL("stored.{} >= {}").format(Identifier(table.date_column), Literal(kept_from))


def _values(table: CoreTable) -> list[str]:
    return [name for name in table.columns if name not in table.key]


def _incoming(table: CoreTable) -> Identifier:
    return Identifier(f"incoming_{table.name}")


def _changed(table: CoreTable) -> Identifier:
    return Identifier(f"changed_{table.name}")


def _doubtful(table: CoreTable) -> Identifier:
    return Identifier(f"doubtful_{table.name}")


def _gone(table: CoreTable) -> Identifier:
    return Identifier(f"gone_{table.name}")


def _moved(table: CoreTable) -> Identifier:
    return Identifier(f"moved_{table.name}")


def _equal(names: tuple[str, ...], left: str, right: str) -> Composed:
    return SQL(" and ").join(
        SQL("{} = {}").format(Identifier(left, name), Identifier(right, name)) for name in names
    )


def _assignments(names: list[str]) -> Composed:
    return SQL(", ").join(
        SQL("{} = {}").format(Identifier(name), Identifier("excluded", name)) for name in names
    )
