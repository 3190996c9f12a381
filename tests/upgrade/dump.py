"""Writes the warehouse of a release, created and filled by its own code, for test_upgrade.py.

At each release, run `python -m tests.upgrade.dump` and add the file to WAREHOUSES of
test_upgrade.py.
"""

import argparse
import gzip
import subprocess
import tempfile
from datetime import date, datetime
from pathlib import Path

from lcm_pipeline.model.windows import Window
from lcm_pipeline.settings import load_settings, postgres_binaries_override
from lcm_pipeline.simulator.configuration import build_config
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.embedded.binaries import find_binaries
from lcm_pipeline.warehouse.embedded.server import embedded_postgres
from lcm_pipeline.warehouse.marts.refresh import refresh_marts
from lcm_pipeline.warehouse.migrations import migrate
from lcm_pipeline.warehouse.queries import migration_files
from tests.syncing import sync_everything

FIRST, LAST = date(2026, 1, 10), date(2026, 2, 6)
_DONE = datetime(2026, 2, 7, 12)


def fill(warehouse: Warehouse, home: Path) -> None:
    """Sync fifteen clients from FIRST to LAST, and refresh the marts."""
    migrate(warehouse)
    with RunningSimulator(build_config(start=FIRST, now=_DONE, clients=15, seed=5)) as source:
        settings = load_settings(
            home=home, api_url=source.url, database_url=warehouse.url, start_date=FIRST
        )
        sync_everything(settings, warehouse, Window(FIRST, LAST))
    refresh_marts(warehouse)


def dump(url: str) -> bytes:
    """The database as SQL that any session can execute: rows as inserts, no psql commands."""
    program = find_binaries(postgres_binaries_override()) / "pg_dump"
    # One insert per row would make the file ten times as long.
    done = subprocess.run(
        [program, "--inserts", "--rows-per-insert=1000", url],
        check=True, capture_output=True,
    )  # fmt: skip
    lines = done.stdout.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"\\", b"--")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    newest = migration_files()[-1].name[:4]
    default = Path(__file__).with_name(f"warehouse_{newest}.sql.gz")
    parser.add_argument("--output", type=Path, default=default)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        warehouse = Warehouse(url)
        fill(warehouse, Path(folder))
        output.write_bytes(gzip.compress(dump(url), mtime=0))
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
