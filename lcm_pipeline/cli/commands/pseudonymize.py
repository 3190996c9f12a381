"""`lcm pseudonymize`: hash what is stored with a key that was added."""

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.model.texts import counted
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.privacy.pseudonymizing import use_keys


def pseudonymize() -> None:
    """Hash the stored phones and cards with a key that was added.

    The first LCM_PSEUDONYM_KEY turns numbers into keyed hashes; this cannot be undone. To change
    the key, move it to the end of LCM_PSEUDONYM_OLD_KEYS and set another one: hashes are then
    hashed again, and all keys are needed from then on.

    The next sync would do the same before it reads. An interrupted run is resumed; a second one
    waits for the first. Exit code 1: a sync or a push is running.
    """
    settings = load_settings()
    if not settings.pseudonyms:
        raise UsageError(
            "there is no key to hash with: LCM_PSEUDONYM_KEY is not set, or LCM_PSEUDONYMIZE is 0."
            " Nothing was changed; docs/privacy.md says how to choose a key"
        )
    with existing_warehouse(settings) as warehouse:
        count = use_keys(warehouse, settings)
    if count:
        typer.echo(f"all stored phones and cards were hashed with {counted(count, 'key')}")
    else:
        typer.echo("all stored phones and cards are hashed with these keys already")
