"""Imports only the called command, so that help and other commands do not wait for its libraries.

`lcm sync` imports Dagster, which takes more than a second; `lcm --help` imports no command at all,
and `lcm sync --help` or an invalid date do not import Dagster either.
"""

import gc
import inspect
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec
from types import FrameType, ModuleType
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from lcm_pipeline.cli.commands import HELP_LINES, RESUMABLE
from lcm_pipeline.model.integers import LARGEST_INTEGER
from lcm_pipeline.model.texts import shorten
from lcm_pipeline.processes import STOP_SIGNALS

# For gc.set_threshold: allocations before a collection, then collections of one generation before
# one of the next older.
_GC_THRESHOLDS = (20_000, 20, 20)
_LONGEST_GIVEN = 80


@dataclass
class CommandCall:
    """The command that a command line calls; "" until it is known."""

    name: str = ""

    @property
    def is_resumable(self) -> bool:
        """Whether the command keeps its work, so that the same command continues."""
        return self.name in RESUMABLE


class LazyGroup(TyperGroup):
    """Lists all commands by their help lines, and imports the module of the called one.

    It names the called one in the CommandCall that is given as the object of its context, if any.
    """

    def __init__(self, **attributes: Any) -> None:
        listed = {name: TyperCommand(name, help=line) for name, line in HELP_LINES.items()}
        super().__init__(**{**attributes, "commands": listed})

    # Typed as Any, because Typer vendors Click and exports neither Context nor Command.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        if isinstance(ctx.obj, CommandCall):
            ctx.obj.name = name or ""
        return name, None if name is None else load_command(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            # pydantic converts the values, and its words are about Python's types.
            if describe := getattr(error.__cause__, "errors", None):
                error.message = _plain_words(describe()[0]) or error.message
            raise


class StrictCommand(TyperCommand):
    """Refuses an empty value, and a second one of an option that takes one.

    Click would take the last of several values, and an empty path or address has a meaning that
    nobody asks for: the current folder, every address of the machine.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        if values.get("help"):
            for parameter in self.params:
                # The range would say no more than the type, and squeeze the column of the texts.
                if not isinstance(parameter, TyperArgument | TyperOption):
                    continue
                if parameter.max == LARGEST_INTEGER:
                    parameter.max = None
            # Click prints it whatever else is given.
            return super().parse_args(ctx, args)
        for parameter, count in Counter(given).items():
            if not isinstance(parameter, TyperArgument | TyperOption):
                continue
            value = values.get(str(parameter.name))
            if value == "" or (isinstance(value, list | tuple) and "" in value):
                raise typer.BadParameter("the value is empty", ctx, parameter)
            # A flag says the same twice.
            is_repeatable = parameter.multiple or getattr(parameter, "is_flag", False)
            if count > 1 and not is_repeatable:
                raise typer.BadParameter(
                    "it takes one value, and several are given", ctx, parameter
                )
        return super().parse_args(ctx, args)


def _plain_words(item: Any) -> str | None:
    """What a value has to be, and what was given; None to keep the words of pydantic."""
    kind, limits = str(item["type"]), item.get("ctx", {})
    if kind == "greater_than_equal":
        expected = f"{limits['ge']} or more"
    elif kind == "less_than_equal":
        expected = f"{limits['le']} at most"
    elif kind.startswith("int_"):
        expected = "a whole number"
    elif kind.startswith("float_"):
        expected = "a number"
    elif kind == "value_error":
        # A message of Click, which pydantic prefixes with the kind.
        return str(limits["error"])
    else:
        return None
    return f"expected {expected}; got {shorten(str(item['input']), _LONGEST_GIVEN)!r}"


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
    command_class = getattr(module, "COMMAND", StrictCommand)
    single.command(cls=command_class, help=_unwrapped_help(function))(function)
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
    spec.loader = _LargeModuleLoader(name, spec.origin)
    module = module_from_spec(spec)
    module.__class__ = _LazyModule
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    return module


class _LazyModule(ModuleType):
    """A module that is executed when a name of it is looked up.

    That of importlib is executed for its `__spec__` too. Python looks this up when it imports a
    module again, and clears every exception that the lookup raises: Ctrl-C would be lost.
    """

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader = getattr(self.__spec__, "loader", None)
        assert loader is not None  # noqa: S101 - of lazy_import
        loader.exec_module(self)
        return getattr(self, name)


class _LargeModuleLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with large_imports():
            super().exec_module(module)


@contextmanager
def large_imports() -> Iterator[None]:
    """Turn off the garbage collector while a command's modules are imported.

    The collector scans all objects again and again while a library creates them, although objects
    created at import are never garbage: with Dagster that takes a third of the import time.
    Afterwards these objects are frozen, so that no later collection scans them, and collections
    become rarer: thousands of requests in flight create many objects but hardly any reference
    cycles, and collections took a tenth of a sync's time.

    Ctrl-C and SIGTERM are raised when the imports have ended. In the middle, they would leave
    modules without some names, and libraries clear errors of what they try to import.
    """
    gc.disable()
    try:
        with _late_interrupts():
            yield
    finally:
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()


class _LateInterrupt:
    """Handler of Ctrl-C and SIGTERM: the first is recorded, a second is handled as before."""

    def __init__(self, former: dict[signal.Signals, Any]) -> None:
        self.has_come = False
        self._former = former
        for number in former:
            signal.signal(number, self)

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.has_come = True
        self.restore()

    def restore(self) -> None:
        """Set the former handlers again."""
        for number, handler in self._former.items():
            signal.signal(number, handler)


@contextmanager
def _late_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C and SIGTERM at the end, for a second one at once."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    # A background job of a shell ignores Ctrl-C. Any other handler is that of other imports, or of
    # asyncio or Dagster.
    is_usual = handlers[signal.SIGINT] in (signal.default_int_handler, signal.SIG_IGN)
    is_nested = isinstance(handlers[signal.SIGTERM], _LateInterrupt)
    if not is_usual or is_nested or threading.current_thread() is not threading.main_thread():
        yield
        return
    late = _LateInterrupt(
        {number: handler for number, handler in handlers.items() if callable(handler)}
    )
    try:
        yield
    finally:
        late.restore()
        if late.has_come:
            raise KeyboardInterrupt
