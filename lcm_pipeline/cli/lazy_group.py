"""Loads the one command that is called: help and the other commands do not wait for its libraries.

`lcm sync` imports Dagster, which takes more than a second; `lcm --help` imports no command at all,
and `lcm sync --help` or a wrong day need no Dagster either.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from lcm_pipeline.cli.commands import HELP_LINES

# Objects made before a collection, and collections before one of the older objects.
_RARELY = (20_000, 20, 20)


class LazyGroup(TyperGroup):
    """Lists each command by its help line, and imports the module of the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        listed = {name: TyperCommand(name, help=line) for name, line in HELP_LINES.items()}
        super().__init__(**{**attributes, "commands": listed})

    # Typer vendors Click and exports neither Context nor Command: hence Any.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest


def load_command(name: str) -> Any:
    """Import commands/NAME.py and make its function NAME a command, with all its options.

    A module may name a class of its own for it, as COMMAND.
    """
    with large_imports():
        module = import_module(f"lcm_pipeline.cli.commands.{name}")
    alone = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    alone.command(cls=getattr(module, "COMMAND", None))(getattr(module, name))
    return get_command(alone)


def lazy_import(name: str) -> Any:
    """A module that is imported when something in it is first used; for what takes long."""
    if name in sys.modules:
        return sys.modules[name]
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = LazyLoader(_LargeModuleLoader(name, spec.origin))
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    return module


class _LargeModuleLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with large_imports():
            super().exec_module(module)


@contextmanager
def large_imports() -> Iterator[None]:
    """Import within this context what a command needs.

    The garbage collector looks through all objects again and again while a library makes them, and
    what a library makes at its import is never garbage: with Dagster that is a third of the time.
    What was made is then set aside, so that no later collection looks at it either; and collections
    become rarer, as thousands of requests in flight make many objects and hardly any garbage in
    circles: they took a tenth of a sync's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_RARELY)
        gc.enable()
