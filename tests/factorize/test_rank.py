"""Choosing the rank: the rules, the search, and what is measured."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from partwise import NMF, Speckle, select_rank
from partwise.datasets import simulate_programs
from partwise.exceptions import DataError, UsageError
from partwise.factorize import _rank_fits as fits
from partwise.factorize import _rank_rules as rules
from partwise.factorize._rank_tables import COLUMNS, CURVES
from partwise.metrics import mean_matched_cosine


@pytest.fixture(scope="module")
def planted():
    return simulate_programs(300, p=120, rank=4, level=0.3, evenness=1.0, seed=5).X


@pytest.fixture(scope="module")
def chosen(planted):
    return select_rank(planted, [2, 3, 4, 5, 6], n_replicates=4, random_state=1)


class Blocks:
    """Rows of an array, a few at a time."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def blocks(self, start, stop):
        for first in range(start, stop, 70):
            yield first, self.X[first : min(first + 70, stop)]


class TestRules:
    def test_smallest_within_one_standard_error_of_the_difference(self):
        # the errors of the replicates differ by far more than those of the ranks
        level = np.array([0.0, 10.0, 20.0, 30.0])[:, None]
        errors = level + np.array([3.0, 1.1, 1.0, 1.2])
        errors[:, 1] += [0.3, -0.5, 0.4, -0.3]
        excess, error = rules.paired_excess(errors)
        assert excess[1] == pytest.approx(0.075)
        assert error[1] > 0.075
        assert rules.smallest_within_error(errors) == 1
        errors[:, 1] = level[:, 0] + 1.1
        assert rules.smallest_within_error(errors) == 2

    def test_one_replicate_takes_the_lowest(self):
        assert rules.smallest_within_error(np.array([[3.0, 1.1, 1.0, 1.2]])) == 2

    def test_clear_rise(self):
        falling = np.array([[3.0, 2.0, 1.0, 1.1]] * 4)
        assert not rules.rises(falling)
        rising = np.array([[3.0, 1.0, 1.1, 1.2]] * 4)
        assert rules.rises(rising)
        rising[2, 2] = 0.9  # one replicate does not agree
        assert not rules.rises(rising)
        # few replicates must rise by more
        assert not rules.rises(np.array([[3.0, 1.0, 1.01, 1.011]]))
        assert rules.rises(np.array([[3.0, 1.0, 1.03, 1.04]]))

    def test_resamples(self):
        sure = np.array([[3.0, 1.0, 2.0]] * 5)
        np.testing.assert_array_equal(rules.resampled(sure, 0), [0, 1, 0])
        torn = np.array([[1.0, 2.0, 9.0], [2.1, 1.0, 9.0]] * 3)
        shares = rules.resampled(torn, 0)
        assert shares.sum() == pytest.approx(1)
        assert (shares[:2] > 0.05).all()
        assert shares[2] == 0

    def test_stable_rank(self):
        assert rules.stable_rank([2, 3, 4, 5], np.array([1.0, 0.9, 0.99, 0.7])) == 4
        assert rules.stable_rank([2, 3], np.array([0.8, 0.9])) == 3

    def test_knee(self):
        assert rules.knee([1, 2, 3, 4, 5], np.array([10.0, 5.0, 1.0, 0.9, 0.8])) == 3
        assert rules.knee([3, 4], np.array([2.0, 1.0])) == 3

    @pytest.mark.parametrize("most", [1, 2, 3, 17, 100])
    def test_coarse_grid(self, most):
        grid = rules.coarse_grid(most)
        assert grid == sorted(set(grid))
        assert grid[-1] == max(1, most)

    def test_gaps_are_halved_until_there_are_none(self):
        ranks = rules.coarse_grid(64)
        while more := rules.between(ranks, 16):
            assert not set(more) & set(ranks)
            ranks = sorted({*ranks, *more})
        assert {15, 16, 17} <= set(ranks)


class TestFound:
    def test_the_planted_rank_by_every_criterion(self, chosen):
        assert chosen.recommended == 4
        assert chosen.by_method["held-out error"] == 4
        assert chosen.by_method["spectrum"] == 4
        assert chosen.by_method["stability"] == 4
        assert chosen.confidence == 1.0
        assert chosen.alternatives == ()
        assert "standard error" in chosen.rule
        assert chosen.advice == ()

    @pytest.mark.parametrize("noise", ["poisson", "gaussian"])
    def test_search(self, noise):
        X = simulate_programs(300, p=120, rank=5, noise=noise, level=0.3, evenness=1.0).X
        found = select_rank(X, n_replicates=4)
        assert abs(found.recommended - 5) <= 1
        # all ranks beside it were looked at, and the search ended soon after it
        assert {found.recommended - 1, found.recommended + 1} <= set(found.ranks)
        assert max(found.ranks) <= 16

    @pytest.mark.parametrize("methods", ["cv", "stability", "elbow"])
    def test_each_method_alone(self, planted, methods):
        found = select_rank(planted, [2, 3, 4, 5, 6], methods=methods, n_replicates=3)
        assert found.recommended == 4
        measured = set(found.summary["curve"])
        assert ("held_out_error" in measured) == (methods == "cv")
        assert ("matched_cosine" in measured) == (methods == "stability")
        assert (found.spectrum is not None) == (methods == "elbow")
        assert np.isnan(found.confidence) == (methods != "cv")

    def test_search_without_held_out_errors(self, planted):
        found = select_rank(planted, methods=("stability", "elbow"), n_replicates=3)
        assert found.recommended == 4
        assert "permuted" in found.rule

    def test_counts(self, planted):
        found = select_rank(
            planted, [3, 4, 5], loss="kullback-leibler", n_replicates=3, max_iter=500
        )
        assert found.recommended == 4
        assert (found.table["held_out_error"] < 1).all()

    def test_missing_entries(self, planted):
        X = planted.copy()
        X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
        found = select_rank(X, [3, 4, 5], n_replicates=3)
        assert found.recommended == 4
        masked = np.ma.masked_invalid(np.where(np.isnan(X), np.nan, X))
        again = select_rank(masked, [3, 4, 5], n_replicates=3)
        pd.testing.assert_frame_equal(found.table, again.table, check_exact=True)


class TestMeasured:
    def test_tables(self, chosen):
        assert list(chosen.table.columns) == list(COLUMNS)
        assert len(chosen.table) == 5 * 4
        assert chosen.table[["rank", "replicate"]].duplicated().sum() == 0
        assert list(chosen.summary.columns) == ["curve", "rank", "mean", "low", "high"]
        assert set(chosen.summary["curve"]) == set(CURVES)
        means = chosen.table.groupby("rank")["held_out_error"].mean()
        curve = chosen.summary[chosen.summary["curve"] == "held_out_error"].set_index("rank")
        np.testing.assert_allclose(curve["mean"], means)
        assert curve.loc[4, "low"] == curve.loc[4, "high"] == curve.loc[4, "mean"]
        assert (curve["low"] <= curve["mean"]).all()
        above = chosen.spectrum["singular_value"] > chosen.spectrum["permuted_max"]
        np.testing.assert_array_equal(chosen.spectrum["above_noise"], above)

    def test_stability_is_that_of_fits_of_these_starts(self, planted, chosen):
        entropy = int(np.random.default_rng(1).integers(2**62))
        programs = []
        for replicate in range(4):
            seed = np.random.SeedSequence([entropy, 0, 5, replicate])
            model = NMF(5, init="random", max_iter=200, random_state=np.random.default_rng(seed))
            programs.append(model.fit(planted).components_)
        found = chosen.table.query("rank == 5")["matched_cosine"]
        np.testing.assert_allclose(found, mean_matched_cosine(programs), rtol=1e-6)
        error = chosen.table.query("rank == 5 and replicate == 3")["training_error"].item()
        assert error == pytest.approx(model.result_.relative_error, rel=1e-9)

    def test_hidden_entries_do_not_influence_the_fits_that_predict_them(self, planted):
        mask = fits.mask_of(0.1, 7, 0)
        indptr, columns = mask.rows(0, *planted.shape)
        rows = np.repeat(np.arange(len(planted)), np.diff(indptr))
        errors = []
        for value in (None, 3.0, 3.0):
            X = planted.copy()
            if value is not None:
                X[rows, columns] = value
            run = fits.RankFits(
                X, loss="frobenius", n_replicates=1, fraction=0.1, entropy=7, tol=1e-5,
                max_iter=50, n_threads=1, on_fit=lambda: None,
            )  # fmt: skip
            errors.append(run.held(3)[0])
        assert errors[0].n_iter == errors[1].n_iter
        assert errors[0].relative_error != errors[1].relative_error
        assert errors[1] == errors[2]

    def test_masks_of_replicates_are_disjoint(self):
        masks = [fits.mask_of(0.25, 3, r) for r in range(6)]
        assert all(isinstance(mask, Speckle) for mask in masks)
        hidden = [set(enumerate_entries(mask)) for mask in masks]
        for a in range(4):
            for b in range(a):
                assert not hidden[a] & hidden[b]
        assert masks[4].seed != masks[0].seed  # four folds of a quarter, then another seed
        assert hidden[4] & hidden[0]

    def test_share_that_is_hidden(self):
        assert fits.hidden_share(np.ones((500, 100))) == 0.1
        assert fits.hidden_share(np.ones((1000, 400))) == pytest.approx(0.05)
        assert fits.hidden_share(np.ones((4000, 1000))) == 0.03
        sparse = sp.random(2000, 500, density=0.1, format="csr", random_state=0)
        assert fits.hidden_share(sparse) == pytest.approx(0.025)
        tiny = sp.random(100, 50, density=0.02, format="csr", random_state=0)
        assert fits.hidden_share(tiny) == 0.1


def enumerate_entries(mask):
    indptr, columns = mask.rows(0, 60, 40)
    return zip(np.repeat(np.arange(60), np.diff(indptr)).tolist(), columns.tolist(), strict=True)


class TestSame:
    def test_threads_and_global_state(self, planted, chosen):
        np.random.seed(0)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        again = select_rank(planted, [2, 3, 4, 5, 6], n_replicates=4, random_state=1, n_threads=3)
        pd.testing.assert_frame_equal(again.table, chosen.table, check_exact=True)
        pd.testing.assert_frame_equal(again.summary, chosen.summary, check_exact=True)
        pd.testing.assert_frame_equal(again.spectrum, chosen.spectrum, check_exact=True)
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002

    def test_fits_do_not_depend_on_the_other_ranks(self, planted, chosen):
        alone = select_rank(planted, [5], n_replicates=4, random_state=1)
        expected = chosen.table.query("rank == 5").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone.table, expected, check_exact=True)

    def test_chunks_of_a_source(self, planted):
        settings = {"n_replicates": 2, "random_state": 3}
        whole = select_rank(planted, [3, 4], **settings)
        parts = select_rank(Blocks(planted), [3, 4], **settings)
        pd.testing.assert_frame_equal(whole.table, parts.table, check_exact=True)
        pd.testing.assert_frame_equal(whole.spectrum, parts.spectrum, check_exact=True)

    @pytest.mark.parametrize("power", [-90, 90])
    def test_size_of_the_data(self, planted, power):
        settings = {"n_replicates": 2, "random_state": 3}
        one = select_rank(planted.astype(np.float32), [3, 4], **settings)
        X = np.ldexp(planted.astype(np.float32), power)
        far = select_rank(X, [3, 4], **settings)
        assert far.recommended == one.recommended
        np.testing.assert_allclose(far.table["held_out_error"], one.table["held_out_error"], 1e-4)

    def test_seeds(self, planted):
        one, other = (
            select_rank(planted, [3], n_replicates=2, random_state=s).table for s in (1, 2)
        )
        assert (one["held_out_error"] != other["held_out_error"]).all()


class TestAdvice:
    def test_the_end_of_the_range(self, planted):
        found = select_rank(planted, [2, 3], methods="cv", n_replicates=3)
        assert found.recommended == 3
        assert "largest that was looked at" in found.advice[0]
        found = select_rank(planted, [4, 5, 6], methods="cv", n_replicates=3)
        assert "smallest that was looked at" in found.advice[0]

    def test_gaps(self, planted):
        found = select_rank(planted, [2, 4, 6], methods="cv", n_replicates=3)
        assert "between 2 and 6 only rank 4" in found.advice[0]

    def test_held_out_errors_end_where_they_clearly_rise(self, planted):
        found = select_rank(planted, [3, 4, 6, 9, 12], n_replicates=4)
        measured = found.table.groupby("rank")["held_out_error"].count()
        assert measured[12] == 0
        assert found.table.query("rank == 12")["training_error"].notna().all()
        assert any("not measured at the larger ranks" in text for text in found.advice)

    def test_fits_that_did_not_converge(self, planted):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = select_rank(planted, [3, 4], max_iter=2, n_replicates=2)
        assert any("stopped at max_iter" in text for text in found.advice)

    def test_more_components_than_were_computed(self):
        X = simulate_programs(300, p=120, rank=15, level=0.05, evenness=1.0).X
        found = select_rank(X, [2, 3], methods="elbow", n_replicates=1)
        assert found.spectrum["above_noise"].all()
        assert any(text.startswith("all 13 singular values") for text in found.advice)


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"ranks": "all"}, "'auto' or whole numbers"),
            ({"ranks": []}, "at least one rank"),
            ({"ranks": [0, 2]}, "each rank"),
            ({"ranks": [2.5]}, "each rank"),
            ({"ranks": [121]}, "exceeds the 120"),
            ({"ranks": [2], "max_rank": 5}, "belongs to ranks='auto'"),
            ({"methods": ()}, "methods"),
            ({"methods": ("cv", "gap")}, "methods"),
            ({"loss": "absolute"}, "loss must be one of"),
            ({"n_replicates": 0}, "n_replicates"),
            ({"n_replicates": 1}, "n_replicates"),
            ({"fraction": 0.0}, "fraction"),
            ({"fraction": 0.6}, "fraction"),
            ({"tol": -1.0}, "tol"),
            ({"max_iter": 0}, "max_iter"),
            ({"n_threads": 0}, "threads"),
            ({"random_state": -1}, "seed"),
        ],
    )
    def test_parameters(self, planted, settings, text):
        with pytest.raises(UsageError, match=text):
            select_rank(planted, **settings)

    @pytest.mark.parametrize("bad", [-1.0, np.inf])
    def test_values(self, planted, bad):
        X = planted.copy()
        X[3, 4] = bad
        with pytest.raises(DataError, match="row 3, column 4"):
            select_rank(X, [2])

    @pytest.mark.parametrize("methods", ["cv", "stability"])
    def test_nothing_but_zeros(self, methods):
        with pytest.raises(DataError, match="all values are zero"):
            select_rank(np.zeros((30, 10)), [1, 2], methods=methods)

    def test_too_few_entries_to_hide_some(self):
        X = np.random.default_rng(0).random((5, 4))
        with pytest.raises(DataError, match="larger fraction"):
            select_rank(X, [1, 2])
        assert select_rank(X, [1, 2], fraction=0.5, n_replicates=2).recommended in (1, 2)
        assert select_rank(X, [1, 2], methods="elbow").recommended in (1, 2)

    def test_noise_has_no_programs(self):
        X = np.random.default_rng(0).random((80, 30))
        assert select_rank(X, max_rank=4, n_replicates=4).recommended == 1

    def test_one_column(self):
        found = select_rank(np.random.default_rng(0).random((300, 1)), n_replicates=2)
        assert found.recommended == 1


def test_the_search_ends_where_it_is_told(planted):
    found = select_rank(planted, max_rank=3, methods="cv", n_replicates=2)
    assert max(found.ranks) == 3
    assert found.recommended == 3
