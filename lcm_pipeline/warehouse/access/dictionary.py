"""The data dictionary: the comments of tables and columns in the database, as Markdown.

Partitions are left out, since the parent describes them. Only the marts have more than comments:
the question and the formula in the heads of their files.
"""

from functools import cache
from itertools import groupby
from typing import NamedTuple

import msgspec

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.marts.definitions import marts
from lcm_pipeline.warehouse.queries import query, sql_folder

_HEAD = """# Data dictionary

Made by `lcm docs` from the comments in the database, and the heads of the marts: edit those, in
`sql/migrations` and `sql/marts`.
"""


class DescribedColumn(NamedTuple):
    """One column with its comment, and the comments of its table and schema."""

    schema: str
    schema_comment: str
    table: str
    kind: str
    table_comment: str
    column: str
    type: str
    comment: str


def describe(warehouse: Warehouse) -> list[DescribedColumn]:
    """Every column of the documented schemas, in the order of the dictionary."""
    with warehouse.connect(application_name="lcm docs") as session:
        rows = session.execute(query("dictionary")).fetchall()
    return [DescribedColumn(*row) for row in rows]


@cache
def russian_definitions() -> dict[str, str]:
    """Russian descriptions of marts (by name) and of their columns (by `mart.column`)."""
    text = (sql_folder() / "definitions_ru.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=dict[str, str])


def as_markdown(columns: list[DescribedColumn]) -> str:
    """The dictionary as one Markdown page."""
    pieces = [_HEAD]
    heads = {
        f"mart.{mart.name}": f"{_capitalized(mart.question)} {_capitalized(mart.formula)}\n\n"
        for mart in marts()
    }
    for (schema, comment), tables in groupby(columns, lambda column: column[:2]):
        pieces.append(f"## {schema}\n\n{_sentence(comment)}\n")
        for (table, kind, about), found in groupby(tables, lambda column: column[2:5]):
            label = "" if kind == "table" else f" ({kind})"
            cells = [(c.column, c.type, c.comment.replace("|", "\\|")) for c in found]
            lines = [
                f"| `{column}` | {type_name} | {comment} |" for column, type_name, comment in cells
            ]
            pieces.append(
                f"### {schema}.{table}{label}\n\n{_sentence(about)}\n\n"
                f"{heads.get(f'{schema}.{table}', '')}"
                "| column | type | meaning |\n|---|---|---|\n" + "\n".join(lines) + "\n"
            )
    return "\n".join(pieces)


def _sentence(comment: str) -> str:
    return f"{_capitalized(comment)}."


def _capitalized(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
