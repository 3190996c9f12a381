"""`python -m lcm_pipeline.simulator`: serve in the foreground; prints one line, the address."""

import argparse
import sys
from collections.abc import Sequence

from lcm_pipeline.simulator.configuration import ConfigurationError, build_config
from lcm_pipeline.simulator.server import serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lcm_pipeline.simulator", description=__doc__)
    for name, meaning in (
        ("host", "address to listen on (127.0.0.1)"),
        ("port", "port to listen on; 0 picks a free one"),
        ("prefix", "path before api/client, such as /WebService/XYZ/"),
        ("seed", "what the world is drawn from"),
        ("clients", "clients that registered by now, or by the end of the opening"),
        ("start", "first day of registrations"),
        ("now", "time of the clock, naive Moscow time"),
        ("opening-end", "until when the clients register, naive Moscow time"),
        ("token", "Token that a body must carry"),
        ("operator", "Operator that a body must carry"),
        ("site-code", "SiteCode accepted in place of a Token"),
        ("username", "with it, a bearer from ManagerLogin is required"),
        ("password", "its password"),
        ("token-seconds", "how long a bearer is good"),
    ):
        parser.add_argument(f"--{name}", help=meaning)
    for name in ("quirk", "habit"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--fault", action="append", default=[], metavar="JSON")
    parser.add_argument("--heavy-operations", help="operations of the one heavy client")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve as the arguments say; returns the exit code."""
    settings = vars(_parser().parse_args(arguments))
    heavy = settings.pop("heavy_operations")
    habits = settings.pop("habit") + ([f"heavy_operations={heavy}"] if heavy else [])
    try:
        config = build_config(
            quirks=settings.pop("quirk"), habits=habits, faults=settings.pop("fault"), **settings
        )
        serve(config, lambda url: print(url, flush=True))
    except (ConfigurationError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
