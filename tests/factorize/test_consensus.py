"""ConsensusNMF against plain code, scikit-learn, and the cnmf package on the same replicates."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import nnls as scipy_nnls
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances, silhouette_score

import reference
from partwise import ConsensusNMF
from partwise.exceptions import DataError, UsageError
from partwise.factorize import _consensus_fits as fits_module
from partwise.factorize import (
    consensus_programs,
    consensus_ranks,
    gene_scores,
    refit_programs,
    top_genes,
)
from partwise.factorize._consensus_ranks import recommend
from partwise.prepare import normalize_total, overdispersed_genes, scale_to_unit_variance

GOLDEN = Path(__file__).parent / "golden" / "cnmf_1.7.1.npz"


def spectra(fits=8, k=3, p=20, noise=0.05, strays=0, seed=0):
    """Return replicate programs, fit by fit in random order, and the planted ones."""
    rng = np.random.default_rng(seed)
    planted = rng.gamma(0.3, size=(k, p)) + 0.01
    planted /= np.linalg.norm(planted, axis=1, keepdims=True)
    found = [rng.permutation(planted) * rng.lognormal(0, 1, size=(k, 1)) for _ in range(fits)]
    found = np.array(found) * np.exp(noise * rng.standard_normal((fits, k, p)))
    for i in range(strays):
        found[i, 0] = rng.gamma(0.1, size=p)
    return found, planted


def counts(n=400, p=80, k=4, seed=0):
    """Return Poisson counts with k planted programs, the usage and the programs."""
    rng = np.random.default_rng(seed)
    usage = rng.dirichlet(np.full(k, 0.2), size=n)
    programs = rng.gamma(0.3, size=(k, p)) + 0.01
    programs /= programs.sum(axis=1, keepdims=True)
    return rng.poisson(800 * usage @ programs).astype(np.float64), usage, programs


def matched(one, two):
    """Return for each row of `one` its best cosine with a row of `two`."""
    one, two = (np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two))
    return (one @ two.T).max(axis=1)


def plain_consensus(replicates, k, threshold, size):
    """The consensus step in plain NumPy and scikit-learn."""
    S = replicates.reshape(-1, replicates.shape[-1])
    S = S / np.linalg.norm(S, axis=1, keepdims=True)
    neighbors = max(1, int(size * len(S) / k))
    D = euclidean_distances(S)
    density = np.array([np.sort(np.delete(D[i], i))[:neighbors].mean() for i in range(len(S))])
    kept = density < threshold
    labels = KMeans(k, n_init=10, random_state=1).fit(S[kept]).labels_
    medians = np.array([np.median(S[kept][labels == t], axis=0) for t in range(k)])
    return density, kept, labels, medians / medians.sum(axis=1, keepdims=True), S


@pytest.mark.parametrize(("threshold", "strays"), [(0.5, 4), (2.0, 4), (0.5, 0)])
@pytest.mark.parametrize("size", [0.1, 0.3, 1.0])
def test_the_consensus_of_given_replicates(threshold, strays, size):
    given, _ = spectra(strays=strays)
    found = consensus_programs(given, 3, density_threshold=threshold, local_neighborhood_size=size)
    density, kept, labels, programs, S = plain_consensus(given, 3, threshold, size)
    np.testing.assert_allclose(found.local_density, density, atol=1e-7)
    np.testing.assert_array_equal(found.kept, kept)
    if threshold == 0.5:
        assert kept.sum() == len(kept) - strays
    assert (found.cluster[~kept] == -1).all()
    # the same clusters under other numbers, larger ones first
    pairs = set(zip(found.cluster[kept], labels, strict=True))
    assert len(pairs) == 3
    for ours, theirs in pairs:
        np.testing.assert_allclose(found.programs[ours], programs[theirs], atol=1e-12)
    assert (np.diff(found.sizes) <= 0).all()
    assert found.sizes.sum() == kept.sum()
    np.testing.assert_allclose(found.stability_kept, silhouette_score(S[kept], labels), rtol=1e-6)
    everything = KMeans(3, n_init=10, random_state=1).fit(S).labels_
    np.testing.assert_allclose(found.stability, silhouette_score(S, everything), rtol=1e-6)


def test_given_replicates_of_any_scale_shape_and_type():
    given, planted = spectra()
    one = consensus_programs(given, 3)
    two = consensus_programs((7.0 * given).reshape(-1, 20).tolist(), 3)
    np.testing.assert_allclose(one.programs, two.programs, rtol=1e-12)
    assert matched(planted, one.programs).min() > 0.99
    before = given.copy()
    consensus_programs(given, 3)
    np.testing.assert_array_equal(given, before)


def test_zero_programs_are_left_out():
    given, planted = spectra()
    given[2, 1] = 0
    for threshold in (0.5, 2.0):
        found = consensus_programs(given, 3, density_threshold=threshold)
        assert not found.kept[2 * 3 + 1]
        assert found.local_density[2 * 3 + 1] == np.inf
        assert found.kept.sum() == 23
        assert matched(planted, found.programs).min() > 0.99


def test_a_filter_that_leaves_too_few_says_what_would_keep_how_many():
    given, _ = spectra(noise=1.0)
    density = consensus_programs(given, 3, density_threshold=2.0).local_density
    with pytest.raises(DataError) as error:
        consensus_programs(given, 3, density_threshold=0.001)
    text = str(error.value)
    assert "density_threshold=0.001 keeps 0 of 24 replicate programs, fewer than the 3" in text
    assert f"0.7 keeps {(density < 0.7).sum()}" in text
    assert "2 keeps all 24" in text


@pytest.mark.parametrize(
    ("given", "k", "says"),
    [
        (np.ones((6, 4)), 2, "only 1 distinct"),
        (np.zeros((6, 4)), 2, "only 0 of 6 replicate programs are not zero"),
        (np.full((6, 4), np.nan), 2, "negative, missing or infinite"),
        (-np.ones((6, 4)), 2, "negative"),
        (np.eye(4), 2, "is zero"),
    ],
)
def test_replicates_without_a_consensus(given, k, says):
    with pytest.raises(DataError, match=says):
        consensus_programs(given, k, density_threshold=2.0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.ones((5, 4)), "4, 6, ... rows"),
        (np.ones((2, 4)), "at least 2 fits"),
        (np.ones(4), "rows"),
        (np.ones((3, 3, 4)), "3 programs each, not 2"),
        ([["a"]], "array of numbers"),
    ],
)
def test_replicates_of_the_wrong_shape(given, says):
    with pytest.raises((UsageError, DataError), match=says):
        consensus_programs(given, 2)


@pytest.mark.parametrize(
    "settings",
    [
        {"density_threshold": 0},
        {"density_threshold": np.nan},
        {"density_threshold": "0.5"},
        {"local_neighborhood_size": 0},
        {"local_neighborhood_size": 1.5},
        {"n_replicates": 1},
        {"n_replicates": 2.5},
        {"loss": "huber"},
        {"tol": -1},
        {"max_iter": 0},
        {"random_state": "x"},
        {"n_components": 0},
    ],
)
def test_bad_parameters(settings):
    X, _, _ = counts(30, 10, 2)
    with pytest.raises(UsageError, match=next(iter(settings)) + "|seed"):
        ConsensusNMF(**{"n_components": 2, "n_replicates": 3, **settings}).fit(X)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_planted_programs_are_found(kind):
    X, usage, programs = counts()
    model = ConsensusNMF(4, n_replicates=10, random_state=0)
    found = model.fit_transform(sp.csr_matrix(X) if kind == "sparse" else X)
    assert matched(programs, model.components_).min() > 0.99
    best = np.corrcoef(usage.T, found.T)[:4, 4:].max(axis=1)
    assert best.min() > 0.95
    result = model.result_
    assert result.stability > 0.95
    assert result.details["n_replicates"] == 10
    assert result.replicates.shape == (40, 80)
    np.testing.assert_allclose(np.linalg.norm(result.replicates, axis=1), 1)
    np.testing.assert_allclose(model.components_.sum(axis=1), 1, rtol=1e-6)


def test_usage_is_exact_and_programs_are_in_its_order():
    X, _, _ = counts()
    model = ConsensusNMF(4, n_replicates=6, random_state=0)
    usage = model.fit_transform(X)
    assert reference.kkt_violation(X, usage, model.components_) < 1e-7
    np.testing.assert_array_equal(usage, model.transform(X))
    np.testing.assert_array_equal(usage, model.result_.usage)
    shares = usage / usage.sum(axis=1, keepdims=True)
    assert (np.diff(shares.sum(axis=0)) <= 0).all()
    error = np.sum((X - usage @ model.components_) ** 2)
    assert model.result_.error == pytest.approx(error, rel=1e-9)
    assert model.reconstruction_err_ == pytest.approx(np.sqrt(error), rel=1e-9)
    assert model.score(X) == pytest.approx(1 - model.result_.relative_error**2, rel=1e-9)
    # each program is the median of the replicates that count towards it
    for t, program in enumerate(model.components_):
        median = np.median(model.result_.replicates[model.result_.cluster == t], axis=0)
        np.testing.assert_allclose(program, median / median.sum(), atol=1e-12)


def test_hidden_entries_change_no_bit():
    X, _, programs = counts()
    hidden = np.random.default_rng(5).random(X.shape) < 0.05
    model = ConsensusNMF(4, n_replicates=5, random_state=0)
    one = model.fit(np.where(hidden, np.nan, X))
    two = ConsensusNMF(4, n_replicates=5, random_state=0).fit(np.where(hidden, 1e6, X), mask=hidden)
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.result_.usage, two.result_.usage)
    assert matched(programs, one.components_).min() > 0.99
    seen = np.where(hidden, 0, X - one.result_.usage @ one.components_)
    assert one.result_.error == pytest.approx(np.sum(seen**2), rel=1e-6)


def outputs(model, X):
    usage = model.fit_transform(X)
    result = model.result_
    return [usage, model.components_, result.replicates, result.cluster, result.local_density,
            np.array([result.stability, result.stability_kept, result.error])]  # fmt: skip


@pytest.mark.parametrize("kind", ["narrow", "wide", "sparse"])
def test_the_same_bits_for_any_number_of_threads_and_from_a_source(kind):
    X = counts(300, 20 if kind == "narrow" else 80)[0].astype(np.float32)
    X = sp.csr_matrix(X) if kind == "sparse" else X
    settings = {"n_replicates": 5, "random_state": 3, "density_threshold": 2.0}
    one = outputs(ConsensusNMF(4, n_threads=1, **settings), X)
    for other in (
        outputs(ConsensusNMF(4, n_threads=2, **settings), X),
        outputs(ConsensusNMF(4, n_threads=3, **settings), X),
        outputs(ConsensusNMF(4, n_threads=2, **settings), reference.Chunks(X, 37)),
    ):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


class TestCounts:
    """The Kullback-Leibler loss."""

    SETTINGS = {"loss": "kullback-leibler", "n_replicates": 6, "random_state": 0, "tol": 1e-4}  # noqa: RUF012

    @pytest.mark.parametrize("kind", ["dense", "sparse"])
    def test_planted_programs_are_found(self, kind):
        X, usage, programs = counts()
        model = ConsensusNMF(4, **self.SETTINGS)
        found = model.fit_transform(sp.csr_matrix(X) if kind == "sparse" else X)
        assert matched(programs, model.components_).min() > 0.99
        assert np.corrcoef(usage.T, found.T)[:4, 4:].max(axis=1).min() > 0.95
        assert model.result_.stability > 0.95

    def test_the_usage_minimises_the_deviance(self):
        X, _, _ = counts(100, 30)
        model = ConsensusNMF(3, **self.SETTINGS, density_threshold=2.0)
        W = model.fit_transform(X)
        np.testing.assert_array_equal(W, model.transform(X))
        M = W @ model.components_
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(X > 0, X * np.log(X / M), 0)
        deviance = float(np.sum(logs - X + M))
        assert model.result_.error == pytest.approx(deviance, rel=1e-6)
        assert model.reconstruction_err_ == pytest.approx(np.sqrt(2 * deviance), rel=1e-6)
        assert model.score(X) == pytest.approx(1 - model.result_.relative_error, rel=1e-6)
        # Poisson: at the minimum the gradient is zero where W > 0 and not negative elsewhere
        slope = model.components_.sum(axis=1) - (X / M) @ model.components_.T
        assert np.abs(slope[W > 1e-3]).max() < 1e-3
        assert slope.min() > -1e-3

    def test_bits(self):
        X = counts(200, 40)[0].astype(np.float32)
        one = outputs(ConsensusNMF(4, n_threads=1, **self.SETTINGS), X)
        two = outputs(ConsensusNMF(4, n_threads=2, **self.SETTINGS), X)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_from_a_source(self):
        X, _, programs = counts()
        model = ConsensusNMF(4, **self.SETTINGS).fit(reference.Chunks(X, 100))
        assert matched(programs, model.components_).min() > 0.98

    def test_size_factors(self):
        X, _, programs = counts()
        sizes = np.exp(np.random.default_rng(0).standard_normal(len(X)))
        Y = np.random.default_rng(1).poisson(X * sizes[:, None]).astype(float)
        model = ConsensusNMF(4, **self.SETTINGS).fit(Y, size_factors=sizes)
        assert matched(programs, model.components_).min() > 0.98
        plain = ConsensusNMF(4, **self.SETTINGS).fit(Y)
        np.testing.assert_allclose(  # they scale the usage, nothing else
            model.transform(Y, size_factors=sizes) * sizes[:, None], model.transform(Y), rtol=1e-3,
            atol=1e-3,
        )  # fmt: skip
        assert matched(model.components_, plain.components_).min() > 0.99
        with pytest.raises(UsageError, match="size_factors"):
            ConsensusNMF(4).fit(Y, size_factors=sizes)

    def test_ranks(self):
        X, _, _ = counts(200, 40)
        model = ConsensusNMF(**self.SETTINGS)
        found = consensus_ranks(X, [3, 4, 5], model=model)
        assert found.recommended == 4
        one = ConsensusNMF(4, **self.SETTINGS).fit(X)
        two = ConsensusNMF(4, **self.SETTINGS).fit(X, replicates=found.replicates[4])
        np.testing.assert_array_equal(one.components_, two.components_)


def test_seeds():
    X, _, _ = counts(150, 30)

    def fit(seed, n=4):
        model = ConsensusNMF(3, n_replicates=n, random_state=seed, density_threshold=2.0)
        return model.fit(X).result_.replicates

    np.testing.assert_array_equal(fit(0), fit(0))
    assert not np.array_equal(fit(0), fit(1))
    # more replicates are added to those of before
    np.testing.assert_array_equal(fit(0), fit(0, 7)[: 4 * 3])
    assert not np.array_equal(fit(None), fit(None))


def test_given_replicates_are_not_fitted_again(monkeypatch):
    X, _, _ = counts(200, 40)
    settings = {"n_replicates": 5, "random_state": 0}
    one = ConsensusNMF(4, **settings).fit(X)
    ranks = consensus_ranks(X, [3, 4, 5], model=ConsensusNMF(**settings))
    monkeypatch.setattr(fits_module, "fit_restarts", None)
    two = ConsensusNMF(4, **settings).fit(X, replicates=ranks.replicates[4])
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.result_.usage, two.result_.usage)
    assert two.n_iter_ == 0
    with pytest.raises(UsageError, match="40"):
        ConsensusNMF(4).fit(X, replicates=np.ones((8, 39)))


def test_ranks():
    X, _, _ = counts(300, 60)
    model = ConsensusNMF(n_replicates=8, random_state=1)
    seen = []
    found = consensus_ranks(X, [5, 3, 4, 4, 2], model=model, on_fit=lambda: seen.append(1))
    assert found.ranks.tolist() == [2, 3, 4, 5]
    assert len(seen) == 4 * 8
    assert not hasattr(model, "components_")
    assert found.recommended == 4
    assert (np.diff(found.error) < 0).all()
    for i, k in enumerate(found.ranks):
        one = ConsensusNMF(int(k), n_replicates=8, random_state=1, density_threshold=2.0).fit(X)
        assert one.result_.stability == found.stability[i]
        assert one.result_.error == pytest.approx(found.error[i], rel=1e-9)
        assert found.relative_error[i] == pytest.approx(one.result_.relative_error, rel=1e-9)


@pytest.mark.parametrize("ranks", [[], [1, 2], [2, 2.5], [2, 99]])
def test_bad_ranks(ranks):
    with pytest.raises(UsageError, match="rank"):
        consensus_ranks(counts(30, 10, 2)[0], ranks, model=ConsensusNMF(n_replicates=2))


@pytest.mark.parametrize(
    ("stability", "rank"),
    [
        ([0.99, 0.98, 0.97, 0.5], 4),  # flat, then it falls
        ([0.9, 0.8, 0.9, 0.6], 4),  # the later of two peaks
        ([0.9, 0.5, 0.7, 0.6], 2),  # the later peak is too low
        ([0.5, 0.6, 0.7, 0.8], 5),
        ([-0.2, -0.1, -0.3, -0.4], 3),
        ([0.0, 0.0, 0.0, 0.0], 5),
    ],
)
def test_the_rule(stability, rank):
    assert recommend([2, 3, 4, 5], stability) == rank


@pytest.mark.parametrize("kind", ["dense", "sparse", "float32", "source"])
def test_programs_and_scores_of_all_genes(kind):
    X, usage, _ = counts(120, 40)
    Y = X if kind == "dense" else sp.csr_matrix(X, dtype="f4" if kind == "float32" else "f8")
    Y = reference.Chunks(Y, 17) if kind == "source" else Y
    usage = np.maximum(usage - 0.05, 0)
    programs = refit_programs(Y, usage)
    plain = np.array([scipy_nnls(usage, gene)[0] for gene in X.T]).T
    np.testing.assert_allclose(programs, plain, rtol=1e-5, atol=1e-5 * plain.max())
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(
        gene_scores(Y, usage), np.linalg.lstsq(usage, Z, rcond=None)[0], rtol=1e-6, atol=1e-6
    )


def test_scores_of_constant_genes_are_zero():
    X = np.c_[np.ones(10), np.arange(10.0), np.zeros(10)]
    scores = gene_scores(X, np.random.default_rng(0).random((10, 2)))
    assert np.isfinite(scores).all()
    assert (scores[:, [0, 2]] == 0).all()


def test_dependent_usages_have_programs():
    usage = np.c_[np.arange(5.0), np.arange(5.0), np.zeros(5)]
    programs = refit_programs(np.arange(5.0)[:, None] * [[2.0, 4.0]], usage)
    np.testing.assert_allclose(usage @ programs, np.outer(np.arange(5), [2, 4]), atol=1e-5)
    assert (programs[2] == 0).all()


def test_the_scores_of_a_model():
    X, _, _ = counts()
    model = ConsensusNMF(4, n_replicates=5, random_state=0).fit(X)
    np.testing.assert_array_equal(model.gene_scores(X), gene_scores(X, model.result_.usage))
    np.testing.assert_array_equal(
        model.gene_scores(X[:50], usage=model.transform(X[:50])),
        gene_scores(X[:50], model.transform(X[:50])),
    )
    with pytest.raises(UsageError, match="a row for each of the 50 rows"):
        model.gene_scores(X[:50])


def test_top_genes():
    table = top_genes([[1, 3, 2], [5, 5, 0]], ["a", "b", "c"], n=2)
    assert table.to_dict("list") == {"program_1": ["b", "c"], "program_2": ["a", "b"]}
    assert len(top_genes([[1, 3, 2]], ["a", "b", "c"])) == 3
    with pytest.raises(UsageError, match="2 names"):
        top_genes([[1, 3, 2]], ["a", "b"])


class TestSameReplicatesAsTheCnmfPackage:
    """What cnmf 1.7.1 found in small counts; `benchmarks/run_cnmf.py --golden` makes the file.

    Its usage is not exact (coordinate descent until the gradient fell to 1e-4 of its first value),
    which is what the tolerances of all that follows from the usage allow for.
    """

    @pytest.fixture
    def golden(self):
        with np.load(GOLDEN) as file:
            return dict(file)

    @pytest.fixture
    def prepared(self, golden):
        X = sp.csr_matrix(golden["counts"].astype(np.float64))
        tpm = normalize_total(X, target=1e6).X
        genes = overdispersed_genes(tpm, n_genes=len(golden["genes"]))
        return tpm, genes, scale_to_unit_variance(X[:, genes.indices]).X

    def test_genes(self, golden, prepared):
        assert [f"g{j}" for j in prepared[1].indices] == golden["genes"].tolist()

    def test_stability_and_error(self, golden, prepared):
        for i, k in enumerate(golden["ranks"].astype(int)):
            model = ConsensusNMF(k, density_threshold=2.0)
            # k-means from its seed, 1
            found = consensus_programs(golden[f"merged_{k}"], k, density_threshold=2.0)
            assert found.stability == pytest.approx(golden["stability"][i], abs=1e-6)
            result = model.fit(prepared[2], replicates=golden[f"merged_{k}"]).result_
            assert result.error == pytest.approx(golden["error"][i], rel=1e-4)

    def test_local_density_and_programs(self, golden, prepared):
        found = consensus_programs(golden["merged_5"], 5)
        np.testing.assert_allclose(found.local_density, golden["density"].ravel(), atol=1e-6)
        assert 0 < (~found.kept).sum() < 5
        model = ConsensusNMF(5).fit(prepared[2], replicates=golden["merged_5"])
        np.testing.assert_allclose(model.components_, golden["spectra"], atol=1e-6)

    def test_programs_of_all_genes_and_scores(self, golden, prepared):
        tpm, _, scaled = prepared
        model = ConsensusNMF(5).fit(scaled, replicates=golden["merged_5"])
        usage = model.result_.usage
        shares = usage / usage.sum(axis=1, keepdims=True)

        def gap(ours, theirs):
            return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)

        assert gap(refit_programs(tpm, shares), golden["tpm"]) < 2e-3
        assert gap(model.gene_scores(tpm), golden["gene_scores"]) < 5e-3
