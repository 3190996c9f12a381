"""Prepares Superset: its own tables, its roles, one administrator, and the bundle.

Runs in Superset's environment, in one process, because each start of Superset takes seconds. Reads
one JSON object from standard input, so that no secret appears in the process list: `bundle` (text
of each file by path), `database_file`, `uri`, `user`, `password`. Every step can be repeated.
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
    """Return the administrator, created if there is none; an existing password is not changed."""
    user = manager.find_user(task["user"])
    if user is None:
        role = manager.find_role("Admin")
        user = manager.add_user(
            task["user"], "lcm", "administrator", f"{task['user']}@localhost", role,
            password=task["password"],
        )  # fmt: skip
    return user


def import_bundle(task, user) -> None:
    """Import database, datasets, charts and dashboards, replacing those of an earlier import."""
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
