"""`--compare GROUP --by PATIENT`: do groups differ in their niches? Patients count, not cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partwise import figures
from partwise.exceptions import DataError, UsageError
from partwise.io.writers import write_csv
from partwise.metrics import GroupComparison, compare_fractions
from partwise.report import ReportFigure, ReportTable, Section

if TYPE_CHECKING:
    import numpy.typing as npt

    from partwise.workflows.clustering.files import Written
    from partwise.workflows.clustering.options import ClusterOptions
    from partwise.workflows.outputs import RunFolder

__all__ = [
    "Compared",
    "Design",
    "compare_niches",
    "compared_numbers",
    "comparison_sections",
    "read_design",
    "wanted_design",
    "write_comparison",
]

#: The level that is spoken of; every number is in the table.
_ALPHA = 0.05
#: Patients with fewer cells than this have uncertain fractions.
_FEW_CELLS = 50


@dataclass(frozen=True)
class Design:
    """Which patient each cell is of, and which group each patient is in.

    Attributes
    ----------
    group, by
        Names of the two columns.
    patients
        Names of the patients, P, sorted.
    groups
        Group of each patient, P.
    codes
        Patient of each cell, n; -1 where patient or group is not known.
    """

    group: str
    by: str
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Compared:
    """Niches compared between groups.

    Attributes
    ----------
    design
        Who was compared.
    rows
        Patients that have cells in clusters: positions in `design.patients`.
    cells
        Number of such cells of each of these.
    clusters
        Clusters that were compared, K.
    result
        The tests.
    warnings
        What the user should look at.
    """

    design: Design
    rows: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    clusters: tuple[int, ...]
    result: GroupComparison
    warnings: tuple[str, ...]

    @property
    def patients(self) -> pd.DataFrame:
        """A row per patient: group, cells, and the fraction of each cluster."""
        design = self.design
        frame = pd.DataFrame(self.result.fractions, columns=[f"cluster_{c}" for c in self.clusters])
        frame.insert(0, "n_cells", self.cells)
        frame.insert(0, "group", [design.groups[i] for i in self.rows])
        frame.insert(0, "patient", [design.patients[i] for i in self.rows])
        return frame

    @property
    def table(self) -> pd.DataFrame:
        """A row per cluster and pair of groups: means, difference, interval, p-value, FDR."""
        found = self.result
        parts = []
        for i, (a, b) in enumerate(found.pairs):
            part = pd.DataFrame({"cluster": self.clusters})
            part["group_a"], part["group_b"] = found.groups[a], found.groups[b]
            part["patients_a"], part["patients_b"] = found.n_patients[a], found.n_patients[b]
            part["mean_a"], part["mean_b"] = found.means[a], found.means[b]
            part["difference"], part["low"], part["high"] = (
                found.difference[i],
                found.low[i],
                found.high[i],
            )
            part["statistic_f"] = found.test.statistic
            part["p_value"], part["fdr"] = found.test.p_values, found.fdr
            parts.append(part)
        return pd.concat(parts).sort_values("cluster", kind="stable").reset_index(drop=True)

    @property
    def sizes(self) -> str:
        """How many patients each group has, in words."""
        found = self.result
        return ", ".join(
            f"{name}: {n}" for name, n in zip(found.groups, found.n_patients, strict=True)
        )

    @property
    def line(self) -> str:
        """The result in one line."""
        found = self.result
        hits = [c for c, q in zip(self.clusters, found.fdr, strict=True) if q <= _ALPHA]
        which = f" ({', '.join(map(str, hits[:12]))}{', ...' if len(hits) > 12 else ''})"
        return (
            f"{self.design.group} (patients in {self.sizes}): {len(hits)} of {len(self.clusters)} "
            f"clusters differ at a false discovery rate of {_ALPHA:g}{which if hits else ''}; "
            f"smallest p-value that can be reached: {found.test.smallest_p:.2g}"
        )


def read_design(ids: pd.DataFrame, group: str, by: str) -> Design:
    """Read who belongs where, and refuse what cannot be compared before any work is done.

    Parameters
    ----------
    ids
        Identifiers and metadata of the cells.
    group, by
        Names of the columns of groups and of patients.

    Returns
    -------
    Design
        Patients and groups.

    Raises
    ------
    UsageError
        If both are the same column.
    DataError
        If a column is missing, a patient is in two groups, there are fewer than two groups, or a
        group has fewer than two patients.
    """
    for flag, name in (("--compare", group), ("--by", by)):
        if name not in ids.columns:
            raise DataError(
                f"{flag} names the column {name!r}, which is not there; columns that describe "
                f"cells are: {', '.join(map(repr, ids.columns))}"
            )
    if group == by:
        raise UsageError(
            f"--compare and --by name the same column, {group!r}: --by says whose cells these are "
            "(patient), --compare in which group each of them is"
        )
    known = _known(ids[group]) & _known(ids[by])
    patient, patients = pd.factorize(ids[by].astype(str).where(known), sort=True)
    label, names = pd.factorize(ids[group].astype(str).where(known), sort=True)
    pairs = pd.DataFrame({"patient": patient[known], "group": label[known]}).drop_duplicates()
    twice = pairs[pairs["patient"].duplicated(keep=False)].sort_values(["patient", "group"])
    if len(twice):
        first = twice[twice["patient"] == twice["patient"].iloc[0]]["group"]
        a, b = (names[i] for i in first.iloc[:2])
        number = twice["patient"].nunique()
        raise DataError(
            f"{by} {patients[twice['patient'].iloc[0]]!r} is in two groups of {group!r}, {a!r} and "
            f"{b!r}"
            + (f" (one of {number} that are)" if number > 1 else "")
            + ": groups are compared between patients who are in one of them only. Name the "
            "column of the patients with --by, or compare another column"
        )
    pairs = pairs.sort_values("patient")
    groups = tuple(str(names[i]) for i in pairs["group"])
    _check_sizes(groups, group, by)
    return Design(group, by, tuple(map(str, patients)), groups, patient.astype(np.int32))


def _known(column: pd.Series) -> npt.NDArray[np.bool_]:
    """Whether each cell has a value: an empty one is none."""
    return np.asarray(column.notna() & (column.astype(str).str.strip() != ""), dtype=bool)


def _check_sizes(groups: tuple[str, ...], group: str, by: str) -> None:
    sizes = pd.Series(groups, dtype=object).value_counts().sort_index()
    if len(sizes) < 2:
        there = f"only {sizes.index[0]!r}" if len(sizes) else "none at all"
        raise DataError(f"--compare {group} needs two groups or more; there is {there}")
    few = sizes[sizes < 2]
    if len(few):
        raise DataError(
            f"the group {few.index[0]!r} of {group!r} has one {by} only: without two or more in "
            f"each group it cannot be known how much patients differ from each other. Groups: "
            + ", ".join(f"{name} {size}" for name, size in sizes.items())
        )


def wanted_design(ids: pd.DataFrame, options: ClusterOptions) -> Design | None:
    """Return the design that `--compare` and `--by` ask for, or None; see `read_design`."""
    if options.compare is None or options.by is None:
        return None
    return read_design(ids, options.compare, options.by)


def compare_niches(
    design: Design | None, labels: npt.NDArray[np.int32], n_clusters: int, *, seed: int
) -> Compared | None:
    """Compare the fractions of clusters between groups, see `compare_fractions`.

    Parameters
    ----------
    design
        Who is compared; None compares nobody.
    labels
        Cluster of each cell, n; cells of -1 are not counted.
    n_clusters
        Number of clusters, K.
    seed
        Seed of random permutations.

    Returns
    -------
    Compared
        Fractions, tests, effects; None without a design.

    Raises
    ------
    DataError
        If too few patients have cells in clusters.
    """
    if design is None:
        return None
    counted = (design.codes >= 0) & (labels >= 0)
    place = design.codes[counted].astype(np.int64) * n_clusters + labels[counted]
    counts = np.bincount(place, minlength=len(design.patients) * n_clusters)
    counts = counts.reshape(len(design.patients), n_clusters)
    rows = np.flatnonzero(counts.sum(axis=1))
    groups = tuple(design.groups[i] for i in rows)
    _check_sizes(groups, design.group, design.by)
    result = compare_fractions(counts[rows], groups, random_state=seed)
    cells = counts[rows].sum(axis=1)
    return Compared(
        design,
        rows,
        cells,
        tuple(range(n_clusters)),
        result,
        tuple(_warnings(design, result, cells, len(rows))),
    )


def _warnings(
    design: Design, result: GroupComparison, cells: npt.NDArray[np.int64], n_rows: int
) -> list[str]:
    texts = []
    smallest, K = result.test.smallest_p, len(result.fdr)
    if smallest > _ALPHA:
        texts.append(
            f"with so few patients ({', '.join(map(str, result.n_patients))}) no p-value of "
            f"--compare {design.group} can be below {smallest:.2g}, however large the difference: "
            "look at the effects and their intervals, and add patients"
        )
    elif smallest * K > _ALPHA:
        texts.append(
            f"with so few patients ({', '.join(map(str, result.n_patients))}) and {K} clusters a "
            f"cluster that differs alone cannot reach a false discovery rate below "
            f"{min(1.0, smallest * K):.2g} (smallest p-value {smallest:.2g})"
        )
    unknown = int((design.codes < 0).sum())
    if unknown:
        texts.append(
            f"{unknown:,} cells without {design.group!r} or {design.by!r} are not compared"
        )
    if n_rows < len(design.patients):
        texts.append(
            f"{len(design.patients) - n_rows} of {len(design.patients)} patients have no cell in a "
            "cluster and are not compared"
        )
    few = int((cells < _FEW_CELLS).sum())
    if few:
        texts.append(
            f"{few} of {n_rows} patients have fewer than {_FEW_CELLS} cells: their fractions are "
            "uncertain, and count as much as others"
        )
    return texts


def write_comparison(
    found: Compared | None, folder: RunFolder, stem: str
) -> tuple[Written, list[str]]:
    """Write the comparison and the fractions behind it.

    Parameters
    ----------
    found
        The comparison; None writes nothing.
    folder
        Where its files go.
    stem
        Name of the table.

    Returns
    -------
    written
        The files, by kind.
    notes
        What the user should know about them.
    """
    if found is None:
        return {}, []
    written: Written = {
        "compare": (f"{stem}_compare.csv", "difference of each cluster between groups"),
        "compare_patients": (f"{stem}_compare_patients.csv", "fractions of clusters by patient"),
    }
    notes: list[str] = []
    for kind, frame in (("compare", found.table), ("compare_patients", found.patients)):
        columns = {str(name): frame[name] for name in frame.columns}
        own = ("patient", "group", "group_a", "group_b")
        notes += write_csv(folder.path(written[kind][0]), columns, identifiers=own)
    return written, notes


def compared_numbers(found: Compared | None) -> dict[str, Any]:
    """Return the comparison as plain values under "compare", for run.json; empty without one."""
    if found is None:
        return {}
    test = found.result.test
    numbers = {
        "group": found.design.group,
        "by": found.design.by,
        "patients": dict(zip(found.result.groups, found.result.n_patients, strict=True)),
        "exact": test.exact,
        "n_permutations": test.n_permutations,
        "smallest_p": test.smallest_p,
        "p_values": [float(p) for p in test.p_values],
        "fdr": [float(q) for q in found.result.fdr],
    }
    return {"compare": numbers}


def comparison_sections(found: Compared | None) -> list[Section]:
    """Return the part of the report that compares groups, if they were compared."""
    return [] if found is None else [_section(found)]


def _section(found: Compared) -> Section:
    result, design = found.result, found.design
    table = found.table.set_index("cluster")
    how = (
        f"all {result.test.n_permutations:,} assignments"
        if result.test.exact
        else f"{result.test.n_permutations:,} assignments, random ones and the observed"
    )
    pairs = (
        ""
        if len(result.pairs) == 1
        else " The intervals of one cluster hold for all pairs of groups together; the p-value is "
        "that of any difference between groups."
    )
    forest = table if len(result.pairs) == 1 else None
    return Section(
        f"Niches compared between groups: {design.group}",
        [
            f"{found.line}.",
            f"One fraction per {design.by} and cluster, of the cells that are in clusters; cells "
            "are not counted as if they were independent. The test permutes patients over groups "
            f"({how} of patients to groups of these sizes; F statistic of arcsin(sqrt(fraction))), "
            "so that it holds for any distribution of the fractions, if patients are "
            "exchangeable where groups do not differ. FDR: Benjamini and Hochberg over the "
            f"{len(result.fdr)} clusters. Intervals: Welch's t of the difference of mean "
            f"fractions, {100 * result.level:.0f} %.{pairs}",
            "Fractions add up to 1: where one cluster grows, others shrink. A difference says "
            "that groups differ, not why; age, site or batch that differ between groups do the "
            "same.",
        ],
        [
            ReportFigure(
                figures.group_fractions(
                    pd.DataFrame(result.fractions, columns=found.clusters),
                    [design.groups[i] for i in found.rows],
                    fdr=result.fdr.tolist(),
                    difference=forest,
                    group_label=design.group,
                ),
                f"Fraction of each cluster by {design.group}",
                f"A dot is a {design.by}. The scale is that of square roots, so that rare clusters "
                "can be seen; FDR is bold at 0.05 or below.",
                f"Dots of {len(found.rows)} patients in {len(result.groups)} groups for "
                f"{len(found.clusters)} clusters. {found.line}.",
                ReportTable(table, "Means, differences, intervals and tests"),
            )
        ],
    )
