"""Makes Superset ready: its own tables, its roles, one administrator, and the bundle.

Runs in Superset's environment, in one process, as each start of Superset takes seconds. Reads from
standard input one JSON object, so that no secret is seen in a list of processes: `bundle` (text of
each file by path), `database_file`, `uri`, `user`, `password`. Every step may be repeated.
"""

import json
import sys
from pathlib import Path

import superset
import yaml
from flask_migrate import upgrade
from superset.app import create_app

ASSETS = "version: 1.0.0\ntype: assets\n"


def main() -> None:
    task = json.load(sys.stdin)
    app = create_app()
    with app.app_context():
        upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        app.appbuilder.add_permissions(update_perms=True)
        app.appbuilder.sm.sync_role_definitions()
        import_bundle(task, administrator(app.appbuilder.sm, task))


def administrator(manager, task):
    """The administrator; a password that was changed by hand is left alone."""
    user = manager.find_user(task["user"])
    if user is None:
        role = manager.find_role("Admin")
        user = manager.add_user(
            task["user"], "lcm", "administrator", f"{task['user']}@localhost", role,
            password=task["password"],
        )  # fmt: skip
    return user


def import_bundle(task, user) -> None:
    """Bring in database, datasets, charts and dashboards, over those of an earlier import."""
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    contents = dict(task["bundle"])
    database = yaml.safe_load(contents[task["database_file"]])
    database["sqlalchemy_uri"] = task["uri"]
    contents[task["database_file"]] = yaml.safe_dump(database, allow_unicode=True)
    contents["metadata.yaml"] = ASSETS
    with override_user(user):
        ImportAssetsCommand(contents).run()


if __name__ == "__main__":
    main()
