"""The tables of options in the pages of the commands, made from the options themselves.

`python -m partwise.cli.reference docs/cluster.md` writes it there; the command is the page's name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from partwise.utils.atomic import write_text
from partwise.workflows.options import specs

__all__ = ["reference"]

_BEGIN, _END = "<!-- options: begin -->\n", "<!-- options: end -->"


def reference(command: str = "cluster") -> str:
    """Return all options of a command as tables, one per section."""
    module = importlib.import_module(f"partwise.workflows.{command}_options")
    sections: dict[str, list[str]] = {}
    for spec in specs(getattr(module, f"{command.capitalize()}Options")):
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
