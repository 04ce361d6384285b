"""The section on sequences of docs/benchmarks.md."""

from __future__ import annotations

from table_text import machine_line, rows, seconds


def sequences(result: dict) -> list[str]:
    text = ["## Sequences", ""]
    for name, part in PARTS.items():
        if name in result:
            text += part(result[name])
    return [
        *text,
        "Again: `python benchmarks/sequences.py speed solvers songbird large recovery`",
        "",
    ]


def speed(found: dict) -> list[str]:
    units, frames = found["shape"]
    lines = []
    for label, setting in found["settings"].items():
        times, ratio = setting["per_iteration"], setting["times_faster"]
        threads = setting["second_thread"]
        lines += [[label, "port, 1 thread", seconds(times["port"]["seconds"]), "1", ""]]
        lines += [
            [
                label,
                f"partwise, {dtype}",
                seconds(times[dtype]["seconds"]),
                f"{ratio[dtype]:.1f} (asked for {found['required'][dtype]:g})",
                f"{threads[dtype]:.2f}",
            ]
            for dtype in ratio
        ]
    return [
        "### Iterations",
        "",
        f"{units} units x {frames:,} frames, {found['density']:.1%} dense, K = {found['factors']}, "
        f"L = {found['lags']}: seconds per multiplicative iteration, the cost of a call apart. The "
        "port is the `seqnmf` package. Last column: gain of a second thread (asked for "
        f"{found['required']['second_thread']:g}).",
        "",
        *rows(["settings", "program", "iteration", "times faster", "second thread"], lines),
        machine_line(found),
        "",
    ]


def solvers(found: dict) -> list[str]:
    lines = [
        [
            str(row["seed"]),
            f"{row['cost']:.5f}",
            seconds(row["mu_seconds"]),
            seconds(row["hals_seconds"]),
            str(row["starts"]),
            f"{row['times_faster']:.1f}",
        ]
        for row in found["seeds"]
    ]
    head = ["seed", "cost", "1000 multiplicative", "coordinate descent", "starts", "times faster"]
    return [
        "### Solvers",
        "",
        f"The songbird recording without penalties: {found['what']}. Median "
        f"{found['times_faster']:.1f} times as fast (asked for {found['required']:g}).",
        "",
        *rows(head, lines),
        machine_line(found),
        "",
    ]


def songbird(found: dict) -> list[str]:
    lines = [
        [
            name,
            f"{told['train']:.3f}",
            f"{told['held_out']:.3f}",
            ", ".join(f"{count}: {n}" for count, n in told["counts"].items()),
            f"{told['share_2_or_3']:.0%}",
        ]
        for name, told in found["summary"].items()
    ]
    head = ["", "power", "held-out power", "significant: how many seeds", "2 or 3"]
    return [
        "### The songbird recording",
        "",
        f"{found['what'].capitalize()}: K = 10, L = 20, lambda 0.005, L1 of motifs 0.1, 100 "
        "iterations on the first three quarters; medians.",
        "",
        *rows(head, lines),
        machine_line(found),
        "",
    ]


def large(found: dict) -> list[str]:
    units, frames = found["shape"]
    lines = [
        [name, seconds(told["cpu_seconds_per_iteration"]), f"{told['peak_bytes'] / 1e9:.2f} GB"]
        for name, told in found["solvers"].items()
    ]
    asked = found["required"]
    return [
        "### From disk",
        "",
        f"{units:,} units x {frames:,} frames in a file of {found['file_bytes'] / 1e6:.0f} MB "
        f"(compressed), K = {found['factors']}, L = {found['lags']}, float32 (asked for "
        f"{asked['cpu_seconds_per_iteration']:g} s and {asked['peak_bytes'] / 1e9:.1f} GB).",
        "",
        *rows(["", "CPU per iteration", "peak memory"], lines),
        machine_line(found),
        "",
    ]


def recovery(found: dict) -> list[str]:
    lines = [
        [
            f"{case}, noise {noise}",
            f"{told['least_cosine']:.3f}",
            f"{told['median_cosine']:.3f}",
            f"{told['found']:.0%}",
            f"{told['lags_exact']:.0%}",
        ]
        for case, levels in found["summary"].items()
        for noise, told in levels.items()
    ]
    head = ["", "least cosine", "median", "matched", "lags exact"]
    return [
        "### Planted sequences",
        "",
        f"{found['what'].capitalize()}; matched: a cosine of {found['required']['cosine']:g} or "
        "more.",
        "",
        *rows(head, lines),
        machine_line(found),
        "",
    ]


def significance(found: dict) -> list[str]:
    lines = [
        [f"{line['case']}, {line['shuffle']}", str(line["sets_with_false_positives"])]
        for line in found["shuffled"]
    ]
    power = [
        [f"{told['noise']:g}", *(f"{told[key]:.2f}" for key in _POWER)]
        for told in found["power"].values()
    ]
    return [
        "### False sequences, and missed ones",
        "",
        f"{found['shuffled'][0]['sets']} shuffled recordings each, fitted and tested on held-out "
        "data: in how many any of the factors is significant (p = 0.05, Bonferroni).",
        "",
        *rows(["recordings", "with false sequences"], lines),
        "Planted sequences that are recovered and significant; and the planted motifs themselves.",
        "",
        *rows(["noise", "recovered", "and significant", "planted motifs"], power),
        machine_line(found),
        "",
        "Again: `python benchmarks/sequences_significance.py`",
        "",
    ]


_POWER = ("recovered", "power", "power_of_planted_motifs")

PARTS = {
    "speed": speed,
    "solvers": solvers,
    "songbird": songbird,
    "large": large,
    "recovery": recovery,
}
