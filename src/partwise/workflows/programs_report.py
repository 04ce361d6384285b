"""The report of the programs job: what was found, the figures, the methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from partwise import __version__, figures
from partwise.factorize import top_genes
from partwise.report import (
    Headline,
    Report,
    ReportFigure,
    ReportTable,
    Section,
    format_bytes,
    format_count,
    format_duration,
)
from partwise.utils.memory import peak_memory_bytes

if TYPE_CHECKING:
    from partwise.workflows.programs_job import Findings

__all__ = ["build_report"]

_CITATION = (
    f"The partwise developers. partwise {__version__}: non-negative matrix factorization for the "
    "life sciences.",
    "Kotliar, Veres, Nagy, Tabrizi, Hodis, Melton, Sabeti. Identifying gene expression programs of "
    "cell-type identity and cellular activity with single-cell RNA-Seq. eLife 8, e43803 (2019).",
    "Cichocki, Phan. Fast local algorithms for large scale nonnegative matrix and tensor "
    "factorizations. IEICE Transactions E92-A, 708 (2009).",
)
#: Genes per program in the figure, and in the table under it.
_LEADING, _LISTED = 10, 25
#: Values of an identifier by which usage is shown.
_MOST_GROUPS = 60


def build_report(found: Findings, outputs: dict[str, str], command: str) -> Report:
    """Put a run's findings into words and figures.

    Parameters
    ----------
    found
        The findings.
    outputs
        File name -> what it holds.
    command
        The command that repeats the run.

    Returns
    -------
    Report
        Everything `report.html` says.
    """
    n, p = found.shape
    return Report(
        title=f"Expression programs: {found.name}",
        subtitle=f"{format_count(n)} cells x {format_count(p)} genes, {found.n_programs} programs",
        headlines=_headlines(found),
        warnings=found.warnings,
        summary=_summary(found),
        sections=[
            *([_ranks(found)] if len(found.ranks.ranks) > 1 else []),
            _programs(found),
            _consensus(found),
            _usage(found),
            _genes(found),
        ],
        methods=_methods(found),
        citation=list(_CITATION),
        command=command,
        parameters=found.parameters,
        outputs=outputs,
        facts={
            "partwise": __version__,
            "time until this report": format_duration(found.seconds["total"]),
            **{f"time: {k}": format_duration(s) for k, s in found.seconds.items() if k != "total"},
            "largest memory": format_bytes(peak_memory_bytes()),
        },
    )


def _how_chosen(found: Findings) -> str:
    if found.n_programs == found.ranks.recommended:
        return "the only number tried" if len(found.ranks.ranks) == 1 else "recommended"
    return f"chosen; {found.ranks.recommended} is recommended"


def _headlines(found: Findings) -> list[Headline]:
    result = found.consensus
    kept = float(result.kept.mean())
    return [
        Headline("Programs", str(found.n_programs), _how_chosen(found)),
        Headline(
            "Stability",
            f"{result.stability:.3f}",
            "mean silhouette of the programs of all fits; 1: all fits found the same",
            tone="good" if result.stability >= 0.7 else "warn",
        ),
        Headline(
            "Kept",
            "all" if result.kept.all() else f"{100 * kept:.1f} %",
            f"of {format_count(len(result.kept))} programs of "
            f"{format_count(len(result.kept) // found.n_programs)} fits",
            tone="good" if kept >= 0.8 else "warn",
        ),
        Headline("Genes", format_count(len(found.counts.names)), "over-dispersed, factorized"),
    ]


def _leaders(found: Findings, n: int) -> pd.DataFrame:
    return top_genes(found.programs.scores, found.counts.features, n=n)


def _summary(found: Findings) -> list[str]:
    leaders = _leaders(found, 4)
    shares = found.programs.shares.mean(axis=0)
    told = "; ".join(
        f"{figures.program_name(name)} ({100 * share:.0f} %): {', '.join(leaders[name])}"
        for name, share in list(zip(found.programs_names, shares, strict=True))[:12]
    )
    more = f"; and {found.n_programs - 12} more" if found.n_programs > 12 else ""
    return [
        f"Mean share of the cells' usage and genes of highest score. {told}{more}.",
        *(
            [f"The rule for the recommended number of programs: {found.ranks.rule}."]
            if len(found.ranks.ranks) > 1
            else []
        ),
    ]


def _ranks(found: Findings) -> Section:
    ranks = found.ranks
    table = pd.DataFrame(
        {
            "stability": ranks.stability,
            "relative error": ranks.relative_error,
            "fits not converged": ranks.unconverged,
        },
        index=pd.Index(ranks.ranks, name="programs"),
    )
    listed = ", ".join(
        f"{k}: {value:.3f}" for k, value in zip(ranks.ranks, ranks.stability, strict=True)
    )
    return Section(
        "How many programs",
        [
            "Stability says whether fits from different starts find the same programs; the error "
            "always falls with more programs. Both without the filter of local density. "
            f"Recommended is {ranks.rule}: {ranks.recommended}."
        ],
        [
            ReportFigure(
                figures.stability_error(
                    ranks.ranks, ranks.stability, ranks.relative_error, chosen=found.n_programs
                ),
                "Stability and error",
                f"Of {found.options.replicates} fits each; the dashed line marks the consensus of "
                "this report.",
                f"Curves over the number of programs. Stability: {listed}.",
                ReportTable(table, "Stability and error by number of programs"),
            )
        ],
    )


def _programs(found: Findings) -> Section:
    scores = found.programs.scores
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_LEADING]
    leading = pd.DataFrame(
        {
            "program": np.repeat(found.programs_names, order.shape[1]),
            "rank": np.tile(np.arange(1, order.shape[1] + 1), found.n_programs),
            "feature": [found.counts.features[j] for j in order.ravel()],
            "weight": np.maximum(np.take_along_axis(scores, order, axis=1), 0.0).ravel(),
        }
    )
    first = ", ".join(
        f"{figures.program_name(name)} {found.counts.features[row[0]]}"
        for name, row in list(zip(found.programs_names, order, strict=True))[:8]
    )
    return Section(
        "Programs",
        [
            "A gene scores high for a program if cells that use the program express it more than "
            "their other programs account for."
        ],
        [
            ReportFigure(
                figures.leading_features(leading),
                "Genes of highest score",
                "z-scores by least squares, relative to the highest of the program."
                + (" The first 40 programs." if found.n_programs > 40 else ""),
                f"Bars of the leading genes of each program. The first of each: {first}.",
                ReportTable(_leaders(found, _LISTED), f"The {_LISTED} genes of highest score"),
            )
        ],
    )


def _consensus(found: Findings) -> Section:
    result = found.consensus
    sizes = pd.DataFrame(
        {"programs of fits": result.sizes}, index=pd.Index(found.programs_names, name="program")
    )
    return Section(
        "Consensus of the fits",
        [
            f"The programs of all fits, {len(result.kept):,} in all, in {found.n_programs} clusters"
            f" by k-means; left out because few others are near: {int((~result.kept).sum()):,}. "
            "A program is the median of its cluster."
        ],
        [
            ReportFigure(
                figures.clustergram(
                    result.replicates,
                    result.cluster,
                    local_density=result.local_density,
                    density_threshold=found.options.density_threshold,
                ),
                "Distances between the programs of all fits",
                "Programs that many fits found are dark squares on the diagonal. Right: the mean "
                "distance to the nearest neighbours, by which programs are kept or left out.",
                f"Map of the distances of {int(result.kept.sum())} programs in {found.n_programs} "
                "clusters, and histogram of their local density.",
                ReportTable(sizes, "Programs of fits behind each program"),
                fmt="png",
            )
        ],
    )


def _usage(found: Findings) -> Section:
    shares = found.programs.shares
    drawn = [
        ReportFigure(
            figures.explained_bars(shares.mean(axis=0), label="Mean share"),
            "Share of the usage",
            "Usage of a cell is divided by its sum, then averaged over the cells.",
            f"Bars of {found.n_programs} programs; the first makes up "
            f"{100 * shares[:, 0].mean():.1f} % of the usage.",
        )
    ]
    for name in found.ids.columns:
        mean = _by_group(shares, found.ids[name], found.programs_names)
        if mean is not None:
            drawn.append(
                ReportFigure(
                    figures.usage_by_group(mean, group_label=str(name)),
                    f"Usage by {name}",
                    f"Mean share of each program in the cells of each {name}.",
                    f"Heatmap of {len(mean)} values of {name} by {found.n_programs} programs.",
                    ReportTable(mean, "Mean share of the usage"),
                )
            )
    return Section("Usage", [], drawn)


def _by_group(shares: np.ndarray, column: pd.Series, names: tuple[str, ...]) -> pd.DataFrame | None:
    """Return the mean share by value of an identifier; None if it holds numbers or names."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return None
    codes, values = pd.factorize(column, sort=True)
    if not 1 < len(values) <= min(_MOST_GROUPS, max(2, len(column) // 4)):
        return None
    known = codes >= 0
    frame = pd.DataFrame(shares[known], columns=list(names))
    mean = frame.groupby(np.asarray(values.astype(str))[codes[known]], sort=False).mean()
    mean.index.name = column.name
    return mean


def _genes(found: Findings) -> Section:
    genes = found.counts.genes
    return Section(
        "Genes",
        [],
        [
            ReportFigure(
                figures.overdispersion(genes.mean, genes.fano, genes.expected, genes.selected),
                "Over-dispersed genes",
                "Variance divided by mean of each gene, in transcripts per million, against the "
                "mean; the line is what is expected at that mean.",
                f"Cloud of {len(genes.mean):,} genes, {len(found.counts.names):,} of them chosen.",
                fmt="png",
            )
        ],
    )


def _methods(found: Findings) -> list[str]:
    options, result, genes = found.options, found.consensus, found.counts.genes
    n, p = found.shape
    return [
        f"Counts of {n:,} cells and {p:,} genes were scaled to a million per cell. Of the genes "
        f"with a count in at least {max(1, options.min_cells)} cells, the "
        f"{len(found.counts.names):,} of highest Fano factor relative to a^2 mean + b^2 (a = "
        f"{genes.a:.3g}, b = {genes.b:.3g}) were chosen. Their counts, divided by the standard "
        "deviation of the gene and not centred, were factorized by non-negative matrix "
        f"factorization with partwise {__version__} from {options.replicates} random starts for "
        f"each k of {options.ranks} (squared error, tolerance {found.programs.model.tol:g}, seed "
        f"{options.seed}). The programs of all fits at k = {found.n_programs} were scaled to "
        f"length 1; those whose mean distance to their {result.n_neighbors} nearest neighbours is "
        f"{options.density_threshold:g} or more were left out, {int((~result.kept).sum()):,} of "
        f"{len(result.kept):,}; the others were clustered by k-means (10 starts), and the median "
        "of each cluster, scaled to sum 1, is a program (Kotliar et al. 2019). Usage was solved "
        "exactly by non-negative least squares; programs of all genes are the non-negative least "
        "squares fit of counts per million to the shares of the usage, and gene scores the "
        "coefficients of a least squares regression of z-scored counts per million on the usage."
    ]
