"""What a tuning run says in words: its rule, what would change it, what to know beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from partwise.workflows.tuning.rules import (
    AS_GOOD,
    LEAST_SCORE,
    MOST_SMALL,
    Choice,
    Evidence,
    choose,
)

if TYPE_CHECKING:
    from partwise.factorize.rank import RankSelection
    from partwise.workflows.tuning.rank import Admissible

__all__ = ["advice_on", "rule_in_words", "would_change"]

#: Clusters whose cells are together less often are named; groups mixed less are, too.
_WEAK, _ONE_SIDED = 0.8, 0.5


def _setting(row: pd.Series) -> str:
    return (
        f"-n {int(row['n_components'])} -k {int(row['n_neighbors'])} -r {row['resolution']:g} "
        f"({_clusters(int(row['n_clusters']))})"
    )


def _clusters(count: int) -> str:
    return "1 cluster" if count == 1 else f"{count} clusters"


def _standing(count: int) -> str:
    return "1 component stands" if count == 1 else f"{count} components stand"


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)


def rule_in_words(
    table: pd.DataFrame, evidence: Evidence, choice: Choice, allowed: Admissible
) -> str:
    """Say how the recommended point follows from the measurements."""
    n = _listed(allowed.n_components)
    why = f"{_standing(allowed.needed)} out of the permuted data"
    if allowed.held_out:
        why += ", and no larger n predicts hidden entries clearly better"
    start = f"n of {n}: {why}. "
    if not choice.structured:
        return start + (
            f"No setting is much more stable than cuts through data without clusters (the best "
            f"score is below {LEAST_SCORE:g}), so the one with the fewest clusters is named."
        )
    best = float(table["score"].iloc[choice.near].max())
    few = f"at most {MOST_SMALL:.0%} of the cells in small clusters"
    compared = f"Of the settings with {few}, those"
    if not (evidence.share_small[choice.near] <= MOST_SMALL).all():
        compared = f"No setting has {few}. Of all settings, those"
    return start + (
        f"{compared} whose score is below the best ({best:.2f}) by no more than the standard error "
        "of that difference are equally stable; of these the most clusters, of the settings with "
        f"as many the smallest n within {AS_GOOD:g} of the best of them, and there the best score."
    )


def would_change(
    table: pd.DataFrame, evidence: Evidence, choice: Choice, allowed: Admissible
) -> tuple[str, ...]:
    """Say what other rules, or other conditions, would have taken."""
    taken = int(evidence.n_clusters[choice.point])
    texts = []

    def tell(point: int, condition: str) -> None:
        if int(evidence.n_clusters[point]) != taken:
            texts.append(f"{condition}: {_setting(table.iloc[point])}")

    score = table["score"].to_numpy()
    if choice.near.size:
        tell(int(choice.near[score[choice.near].argmax()]), "the highest score alone")
    everything = np.ones_like(evidence.admissible)
    tell(choose(replace(evidence, admissible=everything)).point, "if every n were admitted")
    small = np.zeros_like(evidence.share_small)
    tell(choose(replace(evidence, share_small=small)).point, "if small clusters were allowed")
    tell(choose(evidence, standard_errors=2.0).point, "within two standard errors")
    row = table.iloc[choice.point]
    values = np.unique(table["resolution"])
    edge = {values[0]: "smallest", values[-1]: "largest"}.get(row["resolution"])
    if edge and values.size > 1:
        texts.append(
            f"-r {row['resolution']:g} is the {edge} of the grid: what lies beyond was not seen"
        )
    return tuple(texts)


def advice_on(
    table: pd.DataFrame,
    evidence: Evidence,
    choice: Choice,
    allowed: Admissible,
    per_cluster: pd.DataFrame,
    rank: RankSelection,
) -> tuple[str, ...]:
    """Say what to know before the recommendation is believed."""
    row = table.iloc[choice.point]
    texts = []
    if not choice.structured:
        texts.append(
            "the cells form no clusters that are more stable than cuts through a cloud without "
            "clusters: treat them as a continuum, or use other features"
        )
    if allowed.lost:
        texts.append(
            f"{_standing(allowed.needed)} out of the noise, more than the largest n of the "
            "grid: add larger n"
        )
    if not evidence.admissible[choice.point]:
        texts.append("no setting with an admissible n has two clusters of sufficient size")
    if float(row["share_small"]) > 0:
        texts.append(
            f"{row['share_small']:.1%} of the cells are in clusters that are small; the smallest "
            f"has {int(row['min_cluster_size'])}"
        )
    weak = per_cluster[per_cluster["confidence"] < _WEAK]
    if choice.structured and len(weak):
        named = _listed(tuple(int(c) for c in weak["cluster"]))
        texts.append(
            f"cells of {'cluster' if len(weak) == 1 else 'clusters'} {named} are together in fewer "
            f"than {_WEAK:.0%} of the replicates"
        )
    for name, group in (("fov_entropy", "fields of view"), ("batch_entropy", "batches")):
        if name in table and float(row[name]) < _ONE_SIDED:
            texts.append(
                f"clusters are spread unevenly over {group} (entropy {row[name]:.2f} of that of "
                "all cells): a difference between them may be technical"
            )
    if allowed.held_out:  # else it is not what n was taken from
        texts += [f"about n: {text}" for text in rank.advice]
    return tuple(texts)
