"""From measurements to a rank, the rule in words, and what to know before believing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from partwise.factorize import _rank_rules as rules
from partwise.factorize._rank_tables import Scores
from partwise.metrics.spectrum import Spectrum

__all__ = ["Verdict", "advice_on", "verdict_of"]

FloatArray = npt.NDArray[np.float64]

#: An alternative is picked in at least this share of the resamples.
_POSSIBLE = 0.05
#: Ranks of two criteria that far apart, relative to the larger one, are worth a word.
_APART = 0.25

_CV_RULE = (
    "the smallest rank whose held-out error exceeds the lowest (at rank {lowest}) by no more than "
    "one standard error of that difference within replicates"
)
_SPECTRUM_RULE = (
    "the rank next to the number of components ({count}) whose singular value exceeds those of "
    "data with permuted columns"
)
_STABLE_RULE = (
    "the largest rank at which programs of different starts match with a mean cosine of at least "
    f"{rules.STABLE}"
)
_UNSTABLE_RULE = (
    f"the rank at which programs of different starts match best; none reaches {rules.STABLE}"
)


@dataclass(frozen=True)
class Verdict:
    """The rank and why.

    Attributes
    ----------
    rank
        The recommended rank.
    rule
        How it was found, in words.
    by_method
        What each criterion alone says.
    around
        Ranks beside which a search should look closer.
    ranks, errors
        Where held-out errors decided: the ranks and the squared errors, replicates x ranks.
    """

    rank: int
    rule: str
    by_method: dict[str, int]
    around: tuple[int, ...]
    ranks: tuple[int, ...] = ()
    errors: FloatArray | None = field(default=None, repr=False)

    def support(self, seed: int) -> tuple[float, tuple[int, ...]]:
        """Return how sure the rank is, and which others are possible, the likeliest first."""
        if self.errors is None or self.errors.shape[0] < 2:
            return float("nan"), ()
        shares = rules.resampled(self.errors, seed)
        order = np.argsort(-shares, kind="stable")
        others = [self.ranks[i] for i in order if shares[i] >= _POSSIBLE]
        share = float(shares[self.ranks.index(self.rank)])
        return share, tuple(k for k in others if k != self.rank)


def verdict_of(scores: Scores, spectrum: Spectrum | None) -> Verdict:
    """Return the rank by the best criterion that was measured."""
    by_method: dict[str, int] = {}
    rank, rule = 0, ""
    around: tuple[int, ...] = ()
    ranks, errors = scores.held_errors()
    if ranks:
        lowest = ranks[int(np.argmin(errors.mean(axis=0)))]
        rank = by_method["held-out error"] = ranks[rules.smallest_within_error(errors)]
        rule, around = _CV_RULE.format(lowest=lowest), (rank, lowest)
    fitted, training = scores.training_errors()
    if spectrum is not None:
        by_method["spectrum"] = spectrum.n_above
        by_method["knee of the training error"] = rules.knee(fitted, training)
        if not rule:
            rank = min(fitted, key=lambda k: (abs(k - spectrum.n_above), k))
            rule, around = _SPECTRUM_RULE.format(count=spectrum.n_above), (rank,)
    compared, cosines = scores.mean_cosines()
    if compared:
        stable = rules.stable_rank(compared, cosines)
        by_method["stability"] = stable
        if not rule:
            any_stable = bool(np.nanmax(cosines) >= rules.STABLE)
            rank, rule, around = stable, _STABLE_RULE if any_stable else _UNSTABLE_RULE, (stable,)
    if errors.size:
        return Verdict(rank, rule, by_method, around, tuple(ranks), errors)
    return Verdict(rank, rule, by_method, around)


def advice_on(
    scores: Scores, spectrum: Spectrum | None, verdict: Verdict, left_out: Sequence[int]
) -> tuple[str, ...]:
    """Return what to know before the rank is believed; `left_out`: ranks without held-out error."""
    return (
        *_of_the_range(scores, verdict, left_out),
        *_of_the_spectrum(spectrum, verdict),
        *_of_the_programs(scores, verdict.rank),
        *_of_the_fits(scores, verdict.rank),
    )


def _of_the_range(scores: Scores, verdict: Verdict, left_out: Sequence[int]) -> list[str]:
    ranks, rank = scores.ranks, verdict.rank
    texts = []
    if len(ranks) > 1 and rank == ranks[-1]:
        texts.append(
            f"the recommended rank {rank} is the largest that was looked at: the best may be "
            "larger; look at larger ranks"
        )
    elif len(ranks) > 1 and rank == ranks[0] and rank > 1:
        texts.append(
            f"the recommended rank {rank} is the smallest that was looked at: look at smaller ranks"
        )
    place = ranks.index(rank)
    if 0 < place < len(ranks) - 1 and ranks[place + 1] - ranks[place - 1] > 2:
        texts.append(
            f"between {ranks[place - 1]} and {ranks[place + 1]} only rank {rank} was looked at: "
            "give the ranks between them to tell which is best"
        )
    if left_out:
        texts.append(
            f"the held-out error clearly rises up to rank {max(scores.held)}: it was not measured "
            f"at the larger ranks {', '.join(map(str, left_out))}"
        )
    return texts


def _of_the_spectrum(spectrum: Spectrum | None, verdict: Verdict) -> list[str]:
    if spectrum is None:
        return []
    if spectrum.truncated:
        return [
            f"all {len(spectrum.values)} singular values that were computed are above noise: more "
            "components stand out than that"
        ]
    count, rank = spectrum.n_above, verdict.rank
    if "held-out error" in verdict.by_method and abs(count - rank) > max(
        1, _APART * max(count, rank)
    ):
        return [
            f"held-out error speaks for {rank} programs, the spectrum for {count}: where they "
            "disagree, look at what the programs between the two ranks are made of"
        ]
    return []


def _of_the_programs(scores: Scores, rank: int) -> list[str]:
    if rank not in scores.cosines or rank == 1:
        return []
    cosine = float(scores.cosines[rank].mean())
    if cosine >= 0.9:
        return []
    ranks, cosines = scores.mean_cosines()
    stable = rules.stable_rank(ranks, cosines)
    which = (
        "largest stable" if cosines[list(ranks).index(stable)] >= rules.STABLE else "most stable"
    )
    other = "" if stable == rank else f", or the {which} rank, {stable}"
    return [
        f"at rank {rank} different starts find different programs (mean matched cosine "
        f"{cosine:.2f}): use several starts (n_init) or a consensus{other}"
    ]


def _of_the_fits(scores: Scores, rank: int) -> list[str]:
    """Tell of fits that did not converge; those of larger ranks, which lost, do not matter."""
    ended = [
        fit.converged
        for fits in (scores.held, scores.full)
        for k, some in fits.items()
        if k <= rank
        for fit in some
    ]
    cut = ended.count(False)
    if not cut:
        return []
    return [
        f"{cut} of {len(ended)} fits up to the recommended rank stopped at max_iter before they "
        "converged: raise max_iter, or tol if this precision is enough"
    ]
