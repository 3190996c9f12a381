"""`lcm bundle`: the dashboards in the import format of Superset."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.options import creatable_file, writable_folder
from lcm_pipeline.cli.warehouse import warehouse_or_empty
from lcm_pipeline.settings import load_settings
from lcm_pipeline.superset.archive import write_bundle, write_zip
from lcm_pipeline.superset.bundle import bundle_of
from lcm_pipeline.warehouse.programme import require_time_zone


def bundle(
    output: Annotated[
        Path,
        typer.Option(parser=writable_folder, metavar="FOLDER", help="Folder to write."),
    ] = Path("build/dashboards"),
    archive: Annotated[
        Path,
        typer.Option(
            parser=creatable_file,
            metavar="FILE",
            help="Zip file to write, for Superset's import.",
        ),
    ] = Path("dist/lcm_dashboards.zip"),
) -> None:
    """Write the dashboards as a bundle for any Superset, from dashboards/definition.

    The texts are in LCM_LANGUAGE. Run that Superset with TZ set to LCM_TIMEZONE. A login that may
    only read is enough, also on a standby.
    """
    settings = load_settings()
    with warehouse_or_empty(settings, migrates=False) as warehouse:
        require_time_zone(warehouse, settings)
        files = bundle_of(warehouse, settings.language, settings.timezone)
    write_bundle(output, files)
    write_zip(archive, files)
    typer.echo(f"wrote {len(files)} files to {output} and {archive}")
