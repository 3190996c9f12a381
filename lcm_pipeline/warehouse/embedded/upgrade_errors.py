"""Why an upgrade of a home was not made. Either way the home is as it was."""

from lcm_pipeline.model.errors import UserError
from lcm_pipeline.warehouse.embedded.cluster import explanation
from lcm_pipeline.warehouse.embedded.folder import ServerFolder


class HomeInUseError(UserError):
    """Another process uses the embedded server of the home."""

    def __init__(self, folder: ServerFolder) -> None:
        super().__init__(
            f"another process uses the Postgres in {folder.root}. Nothing was changed: stop lcm ui,"
            " lcm serve and all other commands of this LCM_HOME, then run lcm upgrade-home again"
        )


class UpgradeError(UserError):
    """Dump, load or comparison failed. The old data folder is unchanged."""

    def __init__(self, step: str, log: str) -> None:
        super().__init__(
            f"{step} failed{explanation(log)}. The home still has the data of the old version, and"
            f" nothing was lost: fix that and run lcm upgrade-home again.\n{log}".rstrip()
        )
