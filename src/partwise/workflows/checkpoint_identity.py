"""What units of work belong to: inputs, options that matter, versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from partwise import __version__
from partwise.report import RunRecord, environment
from partwise.workflows.options import specs

__all__ = ["Identity", "differences", "identity_of", "options_that_matter"]

#: Gives the description; called when it is needed, because hashes take a while.
Identity = Callable[[], dict[str, Any]]

#: Packages that make the bits of a result.
_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "igraph", "pynndescent")


def options_that_matter(options: Any) -> dict[str, Any]:
    """Return the options that the numbers of a result depend on, as JSON types.

    Parameters
    ----------
    options
        An options dataclass; fields declared with `matters="run"` or "once" are left out.
    """
    names = [spec.name for spec in specs(type(options)) if spec.matters == "result"]
    values = {name: getattr(options, name) for name in names}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def identity_of(job: str, options: Any, record: RunRecord) -> dict[str, Any]:
    """Return what the units of a run belong to; waits for the hashes of its inputs.

    Parameters
    ----------
    job
        Name of the job.
    options
        Its options.
    record
        Its record, with all inputs.
    """
    software = environment()
    return {
        "job": job,
        "partwise": __version__,
        "machine": software["machine"],
        "packages": {
            name: version for name, version in software["packages"].items() if name in _PACKAGES
        },
        "options": options_that_matter(options),
        "inputs": [{"bytes": entry["bytes"], "sha256": entry["sha256"]} for entry in record.inputs],
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in what two descriptions differ; nothing if they are equal.

    Parameters
    ----------
    before, now
        What `identity_of` gave.

    Examples
    --------
    >>> differences({"options": {"seed": 1}}, {"options": {"seed": 2}})
    ['seed was 1, is 2']
    """
    found = []
    for name in now:
        old, new = before.get(name), now[name]
        if old == new:
            continue
        if not isinstance(old, type(new)):
            return ["its description is missing or damaged"]
        if name in ("options", "packages"):
            keys = sorted({*old, *new})
            found += [_changed(key, old, new) for key in keys if old.get(key) != new.get(key)]
        elif name == "inputs":
            found.append("the input is another, or has changed")
        else:
            found.append(f"{name} was {old}, is {new}")
    return found


def _changed(key: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    return f"{key} was {_shown(old.get(key))}, is {_shown(new.get(key))}"


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
