"""`lcm pseudonymize`: what is stored, hashed with a key that was added."""

import typer

from lcm_pipeline.cli.warehouse import existing_warehouse
from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings import load_settings
from lcm_pipeline.warehouse.pseudonymizing import use_keys


def pseudonymize() -> None:
    """Hash the phones and cards that are stored with a key that was added.

    The first LCM_PSEUDONYM_KEY turns numbers into keyed hashes, for good. To change the key, move
    it to the end of LCM_PSEUDONYM_OLD_KEYS and set another one: hashes are then hashed once more,
    and all keys are needed from then on.

    The next sync does the same before it reads; with this command it is done when nobody waits.
    Broken off, it goes on where it was. It waits for no sync: one under way ends it with 1.
    """
    settings = load_settings()
    if not settings.pseudonyms:
        raise UsageError("LCM_PSEUDONYM_KEY is not set, or LCM_PSEUDONYMIZE is 0")
    with existing_warehouse(settings) as warehouse:
        count = use_keys(warehouse, settings)
    if count:
        typer.echo(f"everything stored was hashed with {count} key{'s' * (count > 1)}")
    else:
        typer.echo("everything is stored with these keys already")
