"""The tables of options in the pages of the commands, made from the options themselves.

`python -m partwise.cli.reference docs/cluster.md` writes it there; the command is the page's name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from partwise import workflows
from partwise.utils.atomic import write_text
from partwise.workflows.options import OptionSpec, specs

__all__ = ["reference"]

#: group of commands -> what knows their options
_GROUPS = {"sequences": "partwise.workflows.sequence_jobs.options"}

_BEGIN, _END = "<!-- options: begin -->\n", "<!-- options: end -->"


def reference(command: str = "cluster") -> str:
    """Return all options of a command as tables, one per section.

    Of a group of commands, one part per command; options that a command above has, too, are named.
    """
    if command not in _GROUPS:
        return _tables(list(specs(getattr(workflows, f"{command.capitalize()}Options"))))
    module = importlib.import_module(_GROUPS[command])
    above: list[OptionSpec] = []
    parts = []
    for name, options in module.options_of_commands().items():
        own = [spec for spec in specs(options) if spec not in above]
        known = [f"`{spec.flags[-1]}`" for spec in specs(options) if spec in above]
        more = f"\n\nAnd, as above: {', '.join(known)}." if known else ""
        parts.append(f"### partwise {command} {name}\n\n{_tables(own)}{more}")
        above += own
    return "\n\n".join(parts)


def _tables(options: list[OptionSpec]) -> str:
    sections: dict[str, list[str]] = {}
    for spec in options:
        flags = ", ".join(f"`{flag}`" for flag in spec.flags)
        text = spec.help
        if spec.choices:
            text += f" One of {', '.join(f'`{name}`' for name in spec.choices)}."
        default = f"`{spec.default_text}`" if spec.default_text else ""
        row = f"| {flags} | `{spec.name}` | {default} | {text} |"
        sections.setdefault(spec.section, []).append(row)
    head = "| flag | Python | default | what it does |\n|---|---|---|---|\n"
    return "\n\n".join(f"**{name}**\n\n{head}" + "\n".join(rows) for name, rows in sections.items())


def _main(path: Path) -> None:
    before, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    write_text(path, f"{before}{_BEGIN}\n{reference(path.stem)}\n\n{_END}{after}")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
