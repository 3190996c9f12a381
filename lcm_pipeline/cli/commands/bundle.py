"""`lcm bundle`: the dashboards as Superset imports them."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.warehouse import migrated_warehouse
from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.archive import write_bundle, write_zip
from lcm_pipeline.superset.bundle import build_bundle
from lcm_pipeline.superset.datasets import marts_of
from lcm_pipeline.superset.definition import dashboards_folder, read_definition
from lcm_pipeline.warehouse.dictionary import describe


def bundle(
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("dashboards/bundle"),
    archive: Annotated[Path, typer.Option(help="Zip to write, as Superset imports it.")] = Path(
        "dist/lcm_dashboards.zip"
    ),
) -> None:
    """Write the dashboards as a bundle for any Superset, from dashboards/definition."""
    settings = load_settings()
    definition = read_definition(dashboards_folder() / "definition")
    with migrated_warehouse(settings) as warehouse:
        files = build_bundle(definition, marts_of(describe(warehouse)))
    write_bundle(output, files)
    write_zip(archive, files)
    typer.echo(f"wrote {len(files)} files to {output} and {archive}")
