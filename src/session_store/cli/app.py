"""The command line: what there is to call, the global options, and how a call ends."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

from session_store import __version__
from session_store.errors import MissingExtraError, SessionStoreError

try:
    import typer
except ImportError as error:
    raise MissingExtraError("cli") from error

from . import listing, reading, writing
from .copying import copy
from .exporting import export
from .failures import (
    EXIT_CODES,
    OUTPUT_CLOSED,
    STOPPED,
    USAGE,
    CommandError,
    failure_of,
    told,
)
from .frame import Frame
from .importing import import_
from .output import json_line

DEFAULT_STORE: Final = "./sessions"
NAME: Final = "session-store"

_STORE: Final = typer.Option(
    "--store", metavar="URL", help="The folder or URL of the store.", show_default=False
)
_JSON: Final = typer.Option("--json", help="Print JSON, for machines.", show_default=False)
_NO_COLOR: Final = typer.Option("--no-color", help="Print no colours.", show_default=False)

_COMMANDS: Final[dict[str, Callable[..., int | None]]] = {
    "ls": listing.ls,
    "show": listing.show,
    "tree": reading.tree,
    "history": reading.history,
    "tail": reading.tail,
    "context": reading.context,
    "append": writing.append,
    "branch": writing.branch,
    "switch": writing.switch,
    "keys": listing.keys,
    "rm": listing.rm,
    "export": export,
    "import": import_,
    "copy": copy,
    "check": reading.check,
    "stats": listing.stats,
}

app: Final = typer.Typer(
    name=NAME,
    epilog=EXIT_CODES,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def start(
    context: typer.Context,
    store: Annotated[
        str,
        typer.Option(
            "--store",
            metavar="URL",
            envvar="SESSION_STORE_URL",
            help="The folder or URL of the store.",
        ),
    ] = DEFAULT_STORE,
    json: Annotated[bool, _JSON] = False,
    no_color: Annotated[bool, _NO_COLOR] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", show_default=False)
    ] = False,
) -> None:
    """See and change dialogues that are kept in a session store.

    The options --store, --json and --no-color may also stand behind the command.
    """
    if version:
        typer.echo(json_line({"version": __version__}) if json else f"{NAME} {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    context.obj = {"store": store, "json": json, "no_color": no_color}


def _register(name: str, body: Callable[..., int | None]) -> None:
    """Make `body(frame, …)` a command that takes the global options as well."""

    def call(
        context: typer.Context, store: str | None, json: bool, no_color: bool, **given: Any
    ) -> None:
        before = context.obj
        frame = Frame(
            store if store is not None else before["store"],
            json=json or before["json"],
            color=not (no_color or before["no_color"]),
        )
        raise typer.Exit(body(frame, **given) or 0)

    own = list(inspect.signature(body).parameters.values())[1:]
    parameters = [
        _parameter("context", typer.Context),
        *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
        _parameter("store", Annotated[str | None, _STORE], None),
        _parameter("json", Annotated[bool, _JSON], False),
        _parameter("no_color", Annotated[bool, _NO_COLOR], False),
    ]
    call.__doc__ = body.__doc__
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app.command(name)(call)


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=kind)


for _name, _body in _COMMANDS.items():
    _register(_name, _body)


def run(arguments: Sequence[str]) -> int:
    """Do what `arguments` say and return the exit code; what goes wrong is told in one line."""
    as_json = "--json" in arguments
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # what is no terminal and no file takes all there is
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code: Any = typer.main.get_command(app).main(
            list(arguments), prog_name=NAME, standalone_mode=False
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # typer exits where a pipe is broken, and only there
        # What is still buffered would fail once more, at exit, and loudly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except (KeyboardInterrupt, typer.Abort):
        return STOPPED
    except (SessionStoreError, OSError) as error:
        return _fail(failure_of(error), as_json)
    except CommandError as error:
        return _fail(error, as_json)
    except Exception as error:
        # What typer raises for a bad command line has had several names.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        said = f"{format_message()} See `{NAME} --help`."
        return _fail(CommandError("usage", said, USAGE), as_json)
    return int(code or 0)


def _fail(error: CommandError, as_json: bool) -> int:
    print(told(error, as_json=as_json), file=sys.stderr)
    return error.exit_code
