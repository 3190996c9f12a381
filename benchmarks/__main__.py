"""`python -m benchmarks`: runs scenarios, prints their tables and writes them into the docs."""

import argparse
import sys

from benchmarks.arena import EMBEDDED, arena
from benchmarks.contestants import OTHERS
from benchmarks.measuring import ContestantError
from benchmarks.report import join, write
from benchmarks.scenarios import SCENARIOS
from lcm_pipeline.warehouse.embedded.folder import EmbeddedPostgresError


def main() -> int:
    """Run the requested scenarios; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, "all"], default="all")
    parser.add_argument("--runs", type=int, default=3, help="of each contestant (default 3)")
    parser.add_argument(
        "--with", dest="others", default="", help="in addition to dlt: airbyte,singer (first-sync)"
    )
    parser.add_argument(
        "--postgres", action="append", metavar="BIN", default=[],
        help="folder with the programs of the Postgres to write to, such as"
        f" /usr/lib/postgresql/15/bin; {EMBEDDED} (default) is the packaged one; repeat it for a"
        " table of several",
    )  # fmt: skip
    parser.add_argument("--dry", action="store_true", help="print only, do not write the page")
    flags = parser.parse_args()
    others = [name for name in flags.others.split(",") if name]
    if flags.runs < 1 or not set(others) <= OTHERS.keys() - {"dlt"}:
        parser.error("--runs is 1 or more, and --with takes airbyte and singer")
    names = list(SCENARIOS) if "all" in flags.scenario else flags.scenario
    try:
        for name in names:
            tables = {}
            for postgres in flags.postgres or [EMBEDDED]:
                with arena(flags.runs, others, postgres) as opened:
                    tables[opened.version] = SCENARIOS[name](opened)
            table = join(tables)
            print(f"\n## {name}\n\n{table.markdown()}\n", flush=True)
            if not flags.dry:
                write(table, runs=flags.runs)
    except (ContestantError, EmbeddedPostgresError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
