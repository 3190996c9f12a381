"""Marts that are sums over clients, or over single rows.

They change by the clients in scope: what these contributed is copied before the tables that the
sums read are written, and subtracted; what they contribute then is added. Sums of rows change by
the rows that were written or removed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg.sql import SQL, Composed, Identifier

from lcm_pipeline.warehouse.marts.definitions import Mart, marts
from lcm_pipeline.warehouse.marts.differences import columns_of, formula_of, table_of
from lcm_pipeline.warehouse.marts.scope import Scope
from lcm_pipeline.warehouse.queries import column_list, composed


@dataclass
class Sums:
    """The sums of all marts, within the transaction of a refresh."""

    scope: Scope
    _copied: set[str] = field(default_factory=set, init=False)

    def copy_contributions(self, mart: Mart) -> None:
        """Copy what the clients in scope contribute to sums over a mart, before it is written."""
        if self.scope.is_full:
            return
        for sums in marts():
            is_due = sums.refreshed_by == "sums" and mart.name in sums.reads and not sums.sums_rows
            if not is_due or sums.name in self._copied:
                continue
            self.scope.session.execute(
                composed("copy_contributions", copy=_copy_of(sums), formula=formula_of(sums))
            )
            self._copied.add(sums.name)

    @contextmanager
    def computed(self, mart: Mart) -> Iterator[SQL | Composed]:
        """Within the context the temporary table `sums` has the computed rows of the mart.

        Yields the join that limits the rows of `stored` to these sums; it is empty if all were
        computed. If the context is left by an error, the rollback removes the table.
        """
        names = [name for name, _ in columns_of(self.scope.session, mart)]
        contributions = composed("contributions", columns=names, formula=formula_of(mart))
        if self.scope.is_full:
            self._sum_up(mart, "sums", contributions)
            yield SQL("")
            self.scope.session.execute("drop table sums")
            return
        if not mart.sums_rows:
            negated = SQL(", ").join(
                SQL("{}" if name in mart.keys else "-{0} as {0}").format(Identifier(name))
                for name in names
            )
            contributions = composed(
                "changes_of_contributions",
                columns=names,
                formula=formula_of(mart),
                negated=negated,
                copy=_copy_of(mart),
            )
        self._sum_up(mart, "changed_sums", contributions)
        self.scope.session.execute("analyze changed_sums")
        # The first key is never null, and has an index.
        of_changed = SQL(
            "join changed_sums on changed_sums.{first} = stored.{first}"
            " and ({changed_keys}) is not distinct from ({stored_keys})"
        ).format(
            first=Identifier(mart.keys[0]),
            changed_keys=column_list(mart.keys, "changed_sums"),
            stored_keys=column_list(mart.keys, "stored"),
        )
        pieces = composed(
            "changed_and_stored_sums",
            columns=names,
            stored_columns=column_list(names, "stored"),
            mart=table_of(mart),
            of_changed=of_changed,
        )
        self._sum_up(mart, "sums", pieces)
        yield of_changed
        self.scope.session.execute("drop table sums, changed_sums")

    def _sum_up(self, mart: Mart, name: str, pieces: Composed) -> None:
        """Make a temporary table of the sums by the keys; those of nothing but 0 are left out."""
        summed = [
            (Identifier(column), kind)
            for column, kind in columns_of(self.scope.session, mart)
            if column not in mart.keys
        ]
        self.scope.session.execute(
            composed(
                "sum_pieces",
                result=name,
                keys=mart.keys,
                sums=SQL(", ").join(
                    SQL("sum({0})::{1} as {0}").format(column, SQL(kind)) for column, kind in summed
                ),
                pieces=pieces,
                is_any=SQL(" or ").join(SQL("{} <> 0").format(column) for column, _ in summed),
            )
        )


def _copy_of(mart: Mart) -> Identifier:
    return Identifier(f"before_{mart.name}")
