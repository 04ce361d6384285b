"""The group of all commands, and what becomes of errors."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from partwise import __version__
from partwise.exceptions import PartwiseError
from partwise.utils.interrupts import Terminated, listen

__all__ = ["LazyGroup", "run"]

_ISSUES = "this is a defect of partwise; please report it with the text that --debug gives"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used.

    Parameters
    ----------
    commands_at
        Name of a command -> (module, attribute, one line of help).
    """

    def __init__(self, *args: Any, commands_at: dict[str, tuple[str, str, str]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(self._at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._at:
            return None
        module, attribute, _ = self._at[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest one that is spelt alike."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self._at:
            alike = difflib.get_close_matches(name, self._at, n=1)
            hint = f" Did you mean {alike[0]!r}?" if alike else ""
            if os.path.exists(name):
                hint = f" To cluster the cells of a file: {ctx.command_path} cluster {name}"
            ctx.fail(f"there is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._at.items()])


_EPILOG = """\b
Example:
  partwise simulate neighborhoods -n 20000 -o demo
  partwise cluster demo/test_neighborhood_freqs_20000.csv -o demo/results -n 6
"""

app = LazyGroup(
    name="partwise",
    help="Find the parts that biological data are made of.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands_at={
        "cluster": (
            "partwise.cli.cluster",
            "cluster",
            "Cluster the cells of a neighbourhood table: NMF, neighbours, Leiden, report.",
        ),
        "tune": (
            "partwise.cli.tune",
            "tune",
            "Compare settings of cluster on a sample, and recommend one: stability, report.",
        ),
        "factorize": (
            "partwise.cli.factorize",
            "factorize",
            "Factorize a table into programs and their usage: tables, model, report.",
        ),
        "rank": (
            "partwise.cli.rank",
            "rank",
            "Choose the number of programs: held-out error, stability, spectrum, report.",
        ),
        "neighborhoods": (
            "partwise.cli.neighborhoods",
            "neighborhoods",
            "Count the cell types around each cell, from coordinates: neighbourhood table, report.",
        ),
        "project": (
            "partwise.cli.project",
            "project",
            "Find the usage of a saved model's programs by new rows, matched by name.",
        ),
        "programs": (
            "partwise.cli.programs",
            "programs",
            "Find expression programs in counts: consensus NMF over many fits, report.",
        ),
        "sequences": (
            "partwise.cli.sequences",
            "sequences",
            "Find sequences that recur in recordings: fit, test, sweep, select-k, simulate, plot.",
        ),
        "simulate": ("partwise.cli.simulate", "simulate", "Write tables whose truth is known."),
        "warmup": (
            "partwise.cli.warmup",
            "warmup",
            "Compile the numerical kernels now rather than in the first run.",
        ),
    },
)
app = click.version_option(__version__, prog_name="partwise", message="%(prog)s %(version)s")(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; errors become one message without a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    listen()
    try:
        code = app.main(arguments, prog_name="partwise", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        return _tell_end("interrupted", error.__cause__ or error, 130)
    except Terminated as error:
        return _tell_end("terminated", error, 143)
    except BrokenPipeError:  # whoever read our output left; keep the interpreter's exit quiet too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except PartwiseError as error:
        return _tell(error, str(error), error.exit_code, debug)
    except MemoryError as error:
        text = "memory does not suffice; use fewer columns (--features), or a machine with more"
        return _tell(error, text, 4, debug)
    except OSError as error:
        return _tell(error, str(error), 4, debug)
    except Exception as error:
        return _tell(error, f"{type(error).__name__}: {error}\n{_ISSUES}", 1, debug)
    return code if isinstance(code, int) else 0


def _tell_end(how: str, error: BaseException, code: int) -> int:
    lines = [f"{how}; outputs of earlier runs are as they were", *_notes(error)]
    print(*lines, sep="\n", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    """Return what jobs add to errors that pass through them: the command that goes on."""
    return list(getattr(error, "__notes__", ()))


def _tell(error: BaseException, text: str, code: int, debug: bool) -> int:
    from partwise.utils.logs import logger

    logger.error("%s", text, exc_info=error)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(f"error: {text}", *_notes(error), sep="\n", file=sys.stderr)
    return code
