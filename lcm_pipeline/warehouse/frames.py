"""Query results as pandas tables, where people look at them."""

from typing import Any

import pandas as pd

from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.statements import query


def read_frame(warehouse: Warehouse, query_name: str, **values: Any) -> pd.DataFrame:
    """The answer of sql/queries/<query_name>.sql; its parameters are written %(name)s."""
    with warehouse.engine().connect() as connection:
        cursor = connection.exec_driver_sql(query(query_name).decode(), values)
        return pd.DataFrame(cursor.fetchall(), columns=list(cursor.keys()))
