"""Programs of an AnnData, and how many of them."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from partwise import _slots
from partwise.exceptions import UsageError
from partwise.tl._write import write_fit

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["consensus_nmf", "nmf", "select_rank"]

#: Parameters of scanpy's functions -> what does it here.
_OF_SCANPY = {
    "n_comps": "the number of programs is the second argument",
    "use_highly_variable": "mask_var='highly_variable' takes part of the variables",
    "use_raw": "call this for adata.raw.to_adata(), or copy its X to a layer",
    "rng": "the seed is random_state",
}
#: Parameters of `fit` rather than of the estimator.
_OF_FIT = ("mask", "weights", "size_factors")


def nmf(
    adata: AnnData,
    n_components: int,
    *,
    layer: str | None = None,
    mask_var: Any = None,
    key_added: str = _slots.NMF_KEY,
    random_state: int = 0,
    copy: bool = False,
    **settings: Any,
) -> AnnData | None:
    """Factorize the matrix of an AnnData, X ~ usage @ programs.

    Parameters
    ----------
    adata
        Observations x variables, non-negative; sparse stays sparse, and the X of an AnnData that
        was opened in backed mode is read block by block, never loaded whole.
    n_components
        Number of programs k.
    layer
        Layer to factorize; None means X.
    mask_var
        Variables that take part: a column of var with truth values, such as "highly_variable", or
        an array of them. None means all.
    key_added
        "nmf" writes to the slots below; any other key names all three of them.
    random_state
        Seed.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Further parameters of `NMF` (or of `MiniBatchNMF` where solver="minibatch"), and those of
        its `fit`: `size_factors` (an array, or a column of obs), `mask`, `weights`
        (n x variables). `fixed_programs` are matched with the variables by name if they are a data
        frame, else they stand in the order of the variables.

    Returns
    -------
    AnnData or None
        None, or the copy. Written are `obsm["X_nmf"]` (usage, n x k, float32),
        `varm["NMF_loadings"]` (programs transposed, NaN for variables outside `mask_var`) and
        `uns["nmf"]` (parameters, loss, status, seed, version).

    Raises
    ------
    UsageError
        If a parameter, layer or column cannot be used.
    DataError
        If the values are negative, missing or infinite.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> adata = anndata.AnnData(np.random.default_rng(0).random((50, 8)).astype("float32"))
    >>> pw.tl.nmf(adata, 3)
    >>> adata.obsm["X_nmf"].shape, adata.varm["NMF_loadings"].shape
    ((50, 3), (8, 3))
    """
    from partwise.factorize import NMF, MiniBatchNMF

    estimator: Any = NMF
    if settings.get("solver") == "minibatch":
        estimator = MiniBatchNMF
        settings = {name: value for name, value in settings.items() if name != "solver"}
    settings["n_components"], settings["random_state"] = n_components, random_state
    adata = _slots.target(adata, copy, key_added)
    _fit(adata, estimator, settings, layer, mask_var, key_added)
    return adata if copy else None


def consensus_nmf(
    adata: AnnData,
    n_components: int,
    *,
    layer: str | None = None,
    mask_var: Any = None,
    key_added: str = _slots.NMF_KEY,
    random_state: int = 0,
    copy: bool = False,
    **settings: Any,
) -> AnnData | None:
    """Find the programs that many factorizations agree on (cNMF).

    Parameters
    ----------
    adata
        Observations x variables, non-negative; the method wants over-dispersed genes of unit
        variance, see `partwise.pp` and `partwise.prepare`.
    n_components
        Number of programs k.
    layer
        Layer to factorize; None means X.
    mask_var
        Variables that take part, as in `nmf`.
    key_added
        Where to write, as in `nmf`.
    random_state
        Seed.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Further parameters of `ConsensusNMF`, such as n_replicates, and those of its `fit`, as in
        `nmf`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written are the slots of `nmf`; `uns["nmf"]` has `stability`,
        `local_density` and `cluster_of_replicates` in place of the loss.

    Raises
    ------
    UsageError
        If a parameter, layer or column cannot be used.
    DataError
        If the values are negative, missing or infinite.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(0.3, size=(100, 3)) @ rng.gamma(0.3, size=(3, 20))
    >>> adata = anndata.AnnData(X.astype("float32"))
    >>> pw.tl.consensus_nmf(adata, 3, n_replicates=5)
    >>> adata.obsm["X_nmf"].shape, bool(adata.uns["nmf"]["stability"] > 0.9)
    ((100, 3), True)
    """
    from partwise.factorize import ConsensusNMF

    settings["n_components"], settings["random_state"] = n_components, random_state
    adata = _slots.target(adata, copy, key_added)
    _fit(adata, ConsensusNMF, settings, layer, mask_var, key_added)
    return adata if copy else None


def select_rank(
    adata: AnnData,
    ranks: str | Sequence[int] = "auto",
    *,
    layer: str | None = None,
    mask_var: Any = None,
    key_added: str = _slots.RANK,
    random_state: int = 0,
    copy: bool = False,
    **settings: Any,
) -> AnnData | None:
    """Choose the number of programs.

    Parameters
    ----------
    adata
        Observations x variables, non-negative.
    ranks
        "auto", or the ranks to look at.
    layer
        Layer to factorize; None means X.
    mask_var
        Variables that take part, as in `nmf`.
    key_added
        Key of uns to write to.
    random_state
        Seed.
    copy
        Return a copy in place of writing to `adata`.
    **settings
        Further parameters of `partwise.select_rank`, such as methods and n_replicates.

    Returns
    -------
    AnnData or None
        None, or the copy. `uns["nmf_rank"]` is a data frame, one row per rank and replicate;
        `uns["nmf_rank_choice"]` has the rank that is recommended, the rule, and what else to know.

    Raises
    ------
    UsageError
        If a parameter, layer or column cannot be used.
    DataError
        If the values are negative or infinite.

    Examples
    --------
    >>> import anndata, numpy as np, partwise as pw
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(0.3, size=(100, 3)) @ rng.gamma(0.3, size=(3, 40))
    >>> adata = anndata.AnnData(rng.poisson(20 * X).astype("float32"))
    >>> pw.tl.select_rank(adata, [1, 2, 3, 4, 5], methods=("cv",), n_replicates=3)
    >>> int(adata.uns["nmf_rank_choice"]["recommended"])
    3
    """
    from partwise.factorize import select_rank as choose
    from partwise.io.containers import matrix_of, variables

    adata = _slots.target(adata, copy, key_added)
    X = matrix_of(adata, layer=layer, mask=variables(adata, mask_var))
    found = choose(X, ranks, random_state=random_state, **settings)
    choice = {
        "recommended": int(found.recommended),
        "rule": found.rule,
        "confidence": found.confidence,
        "alternatives": list(found.alternatives),
        "by_method": found.by_method,
        "advice": list(found.advice),
    }
    _slots.put(adata.uns, key_added, found.table)
    _slots.put(adata.uns, f"{key_added}_choice", _slots.plain(choice))
    return adata if copy else None


def _fit(
    adata: AnnData,
    estimator: Any,
    settings: dict[str, Any],
    layer: str | None,
    mask_var: Any,
    key_added: str,
) -> None:
    """Fit an estimator to the values of an AnnData and write what it found."""
    from partwise.io.containers import matrix_of, variables

    mask = variables(adata, mask_var)
    of_fit = {name: settings.pop(name) for name in _OF_FIT if name in settings}
    known = estimator._get_param_names()
    for name in settings:
        if name in _OF_SCANPY and name not in known:
            raise UsageError(f"there is no parameter {name!r}: {_OF_SCANPY[name]}")
    wrong = sorted(set(of_fit) - set(signature(estimator.fit_transform).parameters))
    if wrong:
        raise UsageError(f"{estimator.__name__} does not take {wrong[0]!r}")
    if settings.get("fixed_programs") is not None:
        settings["fixed_programs"] = _given(adata, settings["fixed_programs"], mask)
    model = estimator(**settings)
    values = {name: _aligned(adata, name, value, mask) for name, value in of_fit.items()}
    usage = model.fit_transform(matrix_of(adata, layer=layer, mask=mask), **values)
    write_fit(adata, model, usage, mask, key_added, {"layer": layer, "mask_var": mask_var})


def _aligned(adata: AnnData, name: str, value: Any, mask: Any) -> Any:
    """Return what goes with the values that are fitted: a column of obs, or some columns."""
    if name == "size_factors" and isinstance(value, str):
        if value not in adata.obs:
            raise UsageError(f"size_factors: obs has no column {value!r}")
        return np.asarray(adata.obs[value], np.float64)
    shape = getattr(value, "shape", None)
    if mask is None or shape not in (adata.shape, (1, adata.n_vars)):
        return value
    value = value.tocsr() if hasattr(value, "tocsr") else np.asarray(value)
    return value[:, np.flatnonzero(mask)]


def _given(adata: AnnData, programs: Any, mask: Any) -> Any:
    """Return given programs as an array: by name if they have names, else in the order of var."""
    from partwise.factorize._checks import by_name

    kept = np.arange(adata.n_vars) if mask is None else np.flatnonzero(mask)
    if hasattr(programs, "columns"):
        names = [str(adata.var_names[j]) for j in kept]
        if mask is not None:  # programs of all variables go with a part of them
            programs = programs.loc[:, [str(c) in set(names) for c in programs.columns]]
        return np.asarray(by_name(programs, names), np.float64)
    whole = np.asarray(programs)
    return whole[:, kept] if whole.ndim == 2 and whole.shape[1] == adata.n_vars else programs
