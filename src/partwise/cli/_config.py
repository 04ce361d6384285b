"""`--config`: options from a TOML file, or those of an earlier run from its run.json.

The keys are those of the command's flags, so what the options dataclasses declare is all there is.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from partwise.exceptions import UsageError

__all__ = ["config_values", "load_config"]

#: Flags that are not options of a job.
_NOT_KEYS = ("help", "config", "debug")


def load_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Make what the file says the defaults of the command; the command line wins over them."""
    if value is not None:
        ctx.default_map = config_values(Path(value), ctx)


def config_values(path: Path, ctx: click.Context) -> dict[str, Any]:
    """Return what a file says of the options of a command.

    Keys outside tables hold for every command that is run with the file, those in `[cluster]` only
    for that one, over the others. Tables of other commands are left alone.

    Parameters
    ----------
    path
        A TOML file, or the run.json of a run of the same command.
    ctx
        The context of the command.

    Returns
    -------
    dict
        Name of the parameter -> value.

    Raises
    ------
    UsageError
        If the file cannot be read, a key is not known, or a value is of another type.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if text.lstrip().startswith("{"):
        return _of_run(path, text, ctx)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    values: dict[str, Any] = {}
    for where, entries in _sections(path, content, ctx):
        values |= _values(path, where, entries, ctx)
    return values


def _of_run(path: Path, text: str, ctx: click.Context) -> dict[str, Any]:
    """Return the options of the command in a run.json."""
    try:
        words = shlex.split(json.loads(text)["command"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is neither TOML nor the run.json of a run") from error
    names = ["partwise", *_names(ctx)]
    if words[: len(names)] != names:
        raise UsageError(f"{path} is of another command: {shlex.join(words[:3])} ...")
    try:
        values, _, _ = ctx.command.make_parser(ctx).parse_args(words[len(names) :])
    except click.ClickException as error:
        raise UsageError(f"{path} is of another version: {error.format_message()}") from error
    arguments = {p.name for p in ctx.command.params if p.param_type_name == "argument"}
    return {name: value for name, value in values.items() if name not in arguments}


def _names(ctx: click.Context) -> list[str]:
    """Return the words of the command, without the program's."""
    names: list[str] = []
    context: click.Context | None = ctx
    while context is not None:
        if context.parent is not None or not isinstance(context.command, click.Group):
            names.insert(0, str(context.info_name))
        context = context.parent
    return names


def _sections(
    path: Path, content: dict[str, Any], ctx: click.Context
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what holds for the command, from general to special, with where it stands."""
    root, here = ctx.find_root(), ""
    group: click.Command | None = root.command
    for name in [*_names(ctx), None]:
        yield here, {key: value for key, value in content.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in content.items() if isinstance(value, dict)}
        if isinstance(group, click.Group):
            known = group.list_commands(root)
            for key in tables:
                if key not in known:
                    raise UsageError(f"{path}: [{here}{key}] is no command{_alike(key, known)}")
            group = None if name is None else group.get_command(root, name)
        elif tables and name is None:
            raise UsageError(f"{path}: [{here}{next(iter(tables))}]: there is no such table")
        if name is None or name not in tables:
            return
        content, here = tables[name], f"{here}{name}."


def _values(path: Path, where: str, entries: dict[str, Any], ctx: click.Context) -> dict[str, Any]:
    known = _keys(ctx.command)
    values: dict[str, Any] = {}
    for key, value in entries.items():
        option = known.get(key.replace("-", "_"))
        place = f"{path}: {f'[{where[:-1]}] ' if where else ''}{key}"
        command = " ".join(["partwise", *_names(ctx)])
        if option is None or option.name is None:
            hint = "" if where else "; what is for another command goes into a table of its name"
            raise UsageError(f"{place} is not an option of {command}{_alike(key, known)}{hint}")
        if option.name in values:
            raise UsageError(f"{place} is there twice, by two names")
        values[option.name] = _checked(place, option, value)
    return values


def _keys(command: click.Command) -> dict[str, click.Option]:
    """Return the options by their names and the spellings of their long flags."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    keys: dict[str, click.Option] = {}
    for option in options:
        if option.name is None or option.name in _NOT_KEYS:
            continue
        flags = [flag[2:].replace("-", "_") for flag in option.opts if flag.startswith("--")]
        keys |= dict.fromkeys([option.name, *flags], option)
    return keys


def _checked(place: str, option: click.Option, value: Any) -> Any:
    """Return a value as click takes it; raise if it is of another type than the option."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if option.multiple:
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, (str, int, float)) for item in items):
            raise UsageError(f"{place} must be a list of names or numbers, not {value!r}")
        # text alone is split at commas, as on the command line; names in a list are whole
        return [value] if isinstance(value, str) else [_quoted(item) for item in items]
    if option.is_flag:
        good, kind = isinstance(value, bool), "true or false"
    elif isinstance(option.type, click.Choice):
        kind = f"one of {', '.join(map(str, option.type.choices))}"
        good = value in option.type.choices
    elif option.type is click.INT:
        good, kind = number and isinstance(value, int), "a whole number"
    elif option.type is click.FLOAT:
        good, kind = number, "a number"
    else:
        good, kind = isinstance(value, str), "text in quotes"
    if not good:
        raise UsageError(f"{place} must be {kind}, not {_shown(value)}")
    return value


def _quoted(item: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([item])
    return text.getvalue()


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _alike(name: str, known: Any) -> str:
    alike = difflib.get_close_matches(name.replace("-", "_"), list(known), n=1)
    return f"; did you mean {alike[0]}?" if alike else ""
