"""`lcm disclose`: everything that is stored about one person."""

from pathlib import Path
from typing import Annotated

import typer

from lcm_pipeline.cli.failures import print_message
from lcm_pipeline.cli.options import ClientArgument, writable_file
from lcm_pipeline.cli.output import open_output, output_name
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.connection import open_warehouse
from lcm_pipeline.warehouse.privacy.client_rows import OtherTablesError
from lcm_pipeline.warehouse.privacy.disclosure import disclose as disclose_client

# Only the user who asked may read it.
_MODE = 0o600


def disclose(
    client: ClientArgument,
    output: Annotated[
        Path,
        typer.Option(
            parser=writable_file,
            metavar="FILE",
            help="File to write, which only you can read; - for standard output.",
        ),
    ] = Path("-"),
) -> None:
    """Write everything that the warehouse stores about one person, to answer a request for access.

    One JSON document: each table that has rows of the client, with its comment and these rows as
    they are stored: facts and their earlier versions, marts, updates in the outbox, quarantined
    rows, and the state of syncs. It also says when the person was erased, if so, and whether
    phones and cards are stored as keyed hashes. All rows come from one snapshot. Times are in UTC,
    numbers exact: read them as decimals.

    Nothing is changed. A standby is enough: it lacks only rows that a sync has not published yet.
    The user has to be in lcm_loader: others may not read the outbox, and a document without it
    would look complete. An erased person is found with the key of that time (LCM_PSEUDONYM_KEY).

    To find a client's id by phone or card, run lcm sql: see docs/privacy.md, which also says what
    is stored elsewhere: backups, logs, mails. Exit code 2: the client is not known, or the user may
    not read a table; nothing is written. Exit code 3: the document is written, but tables of your
    own in the schemas of the warehouse list the client too.

    Example: [bold]lcm disclose 1000001 --output 1000001.json[/bold]
    """
    settings = load_settings()
    with (
        open_warehouse(settings, is_read_only=True) as warehouse,
        open_output(output, _MODE) as file,
    ):
        found = disclose_client(warehouse, client, file, settings.pseudonym_keys)
    print_message(
        f"wrote {counted(found.rows, 'row')} of {counted(found.tables, 'table')}"
        f" to {output_name(output)}"
    )
    if found.other_tables:
        raise OtherTablesError(
            "the document has what the warehouse stores. The client is or may be in tables that are"
            f" not its own, too: {', '.join(found.other_tables)}. Add what they store"
        )
