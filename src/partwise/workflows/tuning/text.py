"""The text report of tuning: the original's layout, with what we can say beyond it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from partwise.workflows.tuning.files import TuneFindings

__all__ = ["alternatives_as_text", "counted", "sentence", "setting", "text_report"]

_WIDTH = 60
_BROAD, _THIN = "=" * _WIDTH, "-" * 40
_WRAP = 76
_MOST_ALTERNATIVES = 5


def text_report(found: TuneFindings) -> str:
    """Put the results of tuning into text.

    The four sections and their lines are those of the nmf-leiden-clustering program, so that what
    reads its reports reads ours; what is added stands at the ends of lines or sections.

    Parameters
    ----------
    found
        What a run found.

    Returns
    -------
    str
        Lines that end in line feeds.
    """
    lines = [
        _BROAD,
        "NMF + LEIDEN CLUSTERING TUNING REPORT",
        _BROAD,
        "",
        f"Subsample size: {len(found.sample.rows):,} cells{_of_all(found)}",
        "",
        *_section("1. RECONSTRUCTION ERROR vs n_components", _errors(found)),
        *_section("2. STABILITY (ARI) vs resolution", _stability(found)),
        *_section("3. CLUSTER COUNTS vs parameters", _counts(found)),
        *_section("4. RECOMMENDATIONS", _recommendation(found)),
    ]
    return "\n".join(lines[:-1]) + f"\n{_BROAD}\n"


def setting(n_components: int, n_neighbors: int, resolution: float) -> str:
    """Return a setting as text; the resolution with all the digits it needs.

    Examples
    --------
    >>> setting(8, 15, 0.05)
    'n=8, k=15, r=0.05'
    """
    return f"n={n_components}, k={n_neighbors}, r={resolution:g}"


def counted(count: int, name: str) -> str:
    """Return a number of things as text.

    Examples
    --------
    >>> counted(1, "setting"), counted(1000, "cluster")
    ('1 setting', '1,000 clusters')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """Return a text that ends in one full stop."""
    return f"{text.rstrip('. ')}."


def alternatives_as_text(alternatives: pd.DataFrame, most: int = _MOST_ALTERNATIVES) -> list[str]:
    """Return settings that are not excluded, one text each, best first.

    Parameters
    ----------
    alternatives
        As in `Recommendation.alternatives`.
    most
        How many to name.
    """
    return [
        f"{setting(int(row['n_components']), int(row['n_neighbors']), float(row['resolution']))}: "
        f"{counted(int(row['n_clusters']), 'cluster')}, score {row['score']:.3f}"
        + (f", ARI {row['agreement']:.3f} with the recommended" if "agreement" in row else "")
        for row in alternatives.head(most).to_dict("records")
    ]


def _of_all(found: TuneFindings) -> str:
    sample = found.sample
    if sample.complete:
        return " (all)"
    by = f", in proportion from each {sample.by}" if sample.by else ""
    return f" of {sample.n_cells:,}{by}"


def _section(heading: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (_THIN, heading, _THIN)
    yield from lines
    yield ""


def _errors(found: TuneFindings) -> Iterator[str]:
    for row in found.result.components.to_dict("records"):
        text = f"  n={int(row['n_components']):>2}  error={row['reconstruction_error']:.6f}"
        text += f"  relative={row['relative_error']:.4f}"
        for name, shown in (("held_out_error", "held-out"), ("stability", "stability")):
            if row[name] == row[name]:
                text += f"  {shown}={row[name]:.4f}"
        yield text
    rank = found.result.rank
    yield ""
    yield from _wrapped(f"Suggested n_components: {rank.recommended} ({rank.rule})")


def _stability(found: TuneFindings) -> Iterator[str]:
    grid, chosen = found.result.grid, found.result.recommendation
    at = (grid["n_components"] == chosen.n_components) & (grid["n_neighbors"] == chosen.n_neighbors)
    part = grid[at]
    width = _width(grid)
    for row in part.to_dict("records"):
        yield (
            f"  r={row['resolution']:<{width}g}  ARI={row['mean_ari']:.4f} ± {row['std_ari']:.4f}"
            f"  null={_known(row['null_ari'])}  score={_known(row['score'])}"
        )
    yield ""
    if part["mean_ari"].notna().any():
        best = part.loc[part["mean_ari"].idxmax()]
        yield (f"  Most stable resolution: {best['resolution']:g} (ARI={best['mean_ari']:.4f})")
    n, k = chosen.n_components, chosen.n_neighbors
    yield from _wrapped(
        f"At n={n}, k={k}; every setting is in {found.table.name}_stability.csv. The score is what "
        "remains of the ARI beyond the null, the ARI that data without clusters reach."
    )


def _counts(found: TuneFindings) -> Iterator[str]:
    width = _width(found.result.grid)
    for r, part in found.result.grid.groupby("resolution"):
        clusters = f"{int(part['n_clusters'].min()):>5}-{int(part['n_clusters'].max())}"
        sizes = f"{part['min_cluster_size'].min():.0f}-{part['min_cluster_size'].max():.0f}"
        yield f"  r={r:<{width}g}  n_clusters={clusters}  min_size={sizes}"


def _known(value: float) -> str:
    return "n/a" if value != value else f"{value:.4f}"


def _width(grid: pd.DataFrame) -> int:
    """Return the letters of the longest resolution."""
    return max(len(f"{r:g}") for r in grid["resolution"])


def _recommendation(found: TuneFindings) -> Iterator[str]:
    chosen, point = found.result.recommendation, found.at_recommended
    yield f"  Recommended: {setting(chosen.n_components, chosen.n_neighbors, chosen.resolution)}"
    clusters = counted(chosen.n_clusters, "cluster")
    yield f"    -> {clusters}, min size={point['min_cluster_size']:.0f}"
    yield ""
    yield from _wrapped(f"Rule: {sentence(chosen.rule)}")
    if chosen.confidence == chosen.confidence:
        yield from _wrapped(
            f"How sure: {chosen.confidence:.0%} of resamples of the replicates give this number of "
            "clusters."
        )
    for heading, texts in (
        ("Also possible", alternatives_as_text(chosen.alternatives)),
        ("What would change it", chosen.would_change),
        ("Before you believe it", chosen.advice),
    ):
        if texts:
            yield f"  {heading}:"
            for text in texts:
                yield from _wrapped(text, first="    - ", rest="      ")
    yield "  To cluster all cells with it:"
    yield f"    {found.command}"


def _wrapped(text: str, *, first: str = "  ", rest: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, _WRAP, initial_indent=first, subsequent_indent=rest, break_long_words=False
    )
