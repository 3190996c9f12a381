"""`lcm dbt`: the generated part of the dbt package."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.options import writable_folder
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.dbt_package import package_of, write_package


def dbt(
    output: Annotated[
        Path,
        typer.Option(parser=writable_folder, metavar="FOLDER", help="Folder of the dbt project."),
    ] = Path("dbt"),
) -> None:
    """Write sources, metrics and exposures for dbt, from the database and dashboards/definition."""
    with warehouse_or_empty(load_settings()) as warehouse:
        files = package_of(warehouse)
    write_package(output, files)
    typer.echo(f"wrote {len(files)} files to {output}")
