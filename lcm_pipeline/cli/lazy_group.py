"""Imports only the called command, so that help and other commands do not wait for its libraries.

`lcm sync` imports Dagster, which takes more than a second; `lcm --help` imports no command at all,
and `lcm sync --help` or an invalid date do not import Dagster either.
"""

import gc
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from lcm_pipeline.cli.commands import HELP_LINES

# For gc.set_threshold: allocations before a collection, then collections of one generation before
# one of the next older.
_GC_THRESHOLDS = (20_000, 20, 20)


class LazyGroup(TyperGroup):
    """Lists all commands by their help lines, and imports the module of the called one."""

    def __init__(self, **attributes: Any) -> None:
        listed = {name: TyperCommand(name, help=line) for name, line in HELP_LINES.items()}
        super().__init__(**{**attributes, "commands": listed})

    # Typed as Any, because Typer vendors Click and exports neither Context nor Command.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest


def load_command(name: str) -> Any:
    """Import commands/NAME.py and make its function NAME a command with all its options.

    A hyphen in the name is an underscore in both. A module may set COMMAND to the command class
    to use.
    """
    with large_imports():
        module = import_module(f"lcm_pipeline.cli.commands.{name.replace('-', '_')}")
    single = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    function = getattr(module, name.replace("-", "_"))
    single.command(cls=getattr(module, "COMMAND", None), help=_unwrapped_help(function))(function)
    return get_command(single)


def _unwrapped_help(function: Any) -> str:
    """Return the docstring with each paragraph on one line, for wrapping at the terminal's width.

    Lists keep their lines; they begin with a backspace character, as in Click.
    """
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(
        text if text.startswith("\b") else " ".join(text.split()) for text in paragraphs
    )


def lazy_import(name: str) -> Any:
    """Return a module that is executed on its first attribute access; for slow imports."""
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
    # Names of modules whose import was interrupted by Ctrl-C.
    interrupted: ClassVar[list[str]] = []

    def exec_module(self, module: ModuleType) -> None:
        try:
            with large_imports():
                super().exec_module(module)
        except KeyboardInterrupt:
            # The import statement of Python looks up __spec__ of a module that it knows, which
            # executes a lazy one, and clears every exception of that.
            self.interrupted.append(module.__name__)
            raise


def is_import_interrupted() -> bool:
    """Whether Ctrl-C stopped a lazy import, which leaves its module without some names."""
    return bool(_LargeModuleLoader.interrupted)


@contextmanager
def large_imports() -> Iterator[None]:
    """Turn off the garbage collector while a command's modules are imported.

    The collector scans all objects again and again while a library creates them, although objects
    created at import are never garbage: with Dagster that takes a third of the import time.
    Afterwards these objects are frozen, so that no later collection scans them, and collections
    become rarer: thousands of requests in flight create many objects but hardly any reference
    cycles, and collections took a tenth of a sync's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()
