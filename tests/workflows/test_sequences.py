"""The jobs on sequences: their files, their options, the same files again."""

import json

import numpy as np
import pandas as pd
import pytest

from partwise.exceptions import DataError, UsageError
from partwise.sequences import match_motifs, select_k, select_lambda, test_significance
from partwise.workflows import (
    SequencesFitOptions,
    SequencesPlotOptions,
    SequencesSelectKOptions,
    SequencesSignificanceOptions,
    SequencesSimulateOptions,
    SequencesSweepOptions,
    load_sequences,
    sequences_fit,
    sequences_plot,
    sequences_select_k,
    sequences_significance,
    sequences_simulate,
    sequences_sweep,
)
from plain_report import write_plain

FAST = {"n_components": 3, "n_lags": 24, "max_iter": 60, "n_null": 100, "seed": 1}
SWEEP = {"n_components": 3, "n_lags": 24, "max_iter": 15, "lambdas": (1e-4, 1e-2, 1e-1)}
TABLES = ("factors", "units", "events", "activations", "event_means")


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """Report without drawing; the runs of module fixtures draw."""
    from partwise.figures import message_figure
    from partwise.workflows.sequence_jobs import fit_job as sequences_fit_job
    from partwise.workflows.sequence_jobs import report as sequences_report

    monkeypatch.setattr(sequences_report, "_factors", lambda found, show: message_figure(show))
    monkeypatch.setattr(sequences_report, "_triggered", lambda found: message_figure("events"))
    monkeypatch.setattr(sequences_fit_job, "write_report", write_plain)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two sequences of eight neurons, planted."""
    folder = tmp_path_factory.mktemp("made")
    return sequences_simulate(
        n_frames=3000, n_sequences=2, n_neurons=8, gap=2, noise=0.002, seed=3, output_dir=folder
    )


@pytest.fixture(scope="module")
def recording(made):
    return made.outputs["recording"]


@pytest.fixture(scope="module")
def result(recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    return sequences_fit(recording, **FAST, output_dir=folder, figure=("svg",))


class TestFit:
    def test_files(self, result):
        stem = "sequences_16_3000"
        names = {kind: path.name for kind, path in result.outputs.items()}
        assert names["result"] == f"{stem}_sequences.npz"
        assert names["summary"] == f"{stem}_sequences.json"
        for kind in TABLES:
            assert names[kind] == f"{stem}_{kind}.csv"
        for kind in ("data", "reconstruction", "significance", "triggered", "cost"):
            assert names[f"figure_{kind}_svg"] == f"{stem}_{kind}.svg"
        folder = result.outputs["run"].parent
        assert {path.name for path in folder.iterdir()} == set(names.values())

    def test_finds_what_was_planted(self, made, result):
        planted = match_motifs(made.simulated.motifs, result.fit.motifs)
        assert planted.scores.min() > 0.9
        assert result.found["n_significant"] >= 2
        assert result.fit.power_held_out > 0.5
        assert set(planted.pairs[:, 1] + 1) <= set(result.found["significant_factors"])

    def test_events_are_those_planted(self, made, result):
        events = pd.read_csv(result.outputs["events"])
        planted = match_motifs(made.simulated.motifs, result.fit.motifs)
        truth = made.simulated.events
        assert list(events.columns) == [
            "factor", "frame", "time", "amplitude", "part", "epoch", "time_in_epoch",
        ]  # fmt: skip
        for (a, b), shift in zip(planted.pairs, planted.shifts, strict=True):
            own = events.loc[events["factor"] == b + 1, "frame"].to_numpy()
            wanted = truth.loc[truth["factor"] == a, "frame"].to_numpy()
            near = np.abs(own[:, None] - shift - wanted[None]).min(axis=0)
            assert np.mean(near <= 2) > 0.8
        held = events["part"] == "held out"
        assert (events.loc[held, "frame"] >= 2250).all()
        assert (events.loc[~held, "frame"] < 2250).all()
        assert np.allclose(events["time"], events["frame"] / 30)

    def test_tables(self, result):
        fit = result.fit
        factors = pd.read_csv(result.outputs["factors"])
        assert factors["factor"].tolist() == [1, 2, 3]
        assert np.allclose(factors["loading"], fit.loadings)
        assert np.allclose(factors["pvalue"], result.test.pvalues)
        assert set(factors["significant"]) <= {"yes", "no"}
        events = pd.read_csv(result.outputs["events"])
        assert factors["n_events"].sum() == len(events)
        units = pd.read_csv(result.outputs["units"])
        assert sorted(units["unit"]) == sorted(fit.units)
        assert (units["factor"].diff().dropna() >= 0).all()
        first = units[units["factor"] == units["factor"].iloc[0]]
        assert (first["peak_lag_frames"].diff().dropna() >= 0).all()
        assert np.allclose(units["peak_lag_seconds"], units["peak_lag_frames"] / 30)
        activations = pd.read_csv(result.outputs["activations"])
        assert activations.shape == (3000, 5)
        assert np.allclose(activations["factor_2"], fit.activations[1], rtol=1e-6)
        means = pd.read_csv(result.outputs["event_means"])
        assert len(means.columns) == 2 + 12 + 36
        assert float(means.columns[2]) == pytest.approx(-0.4)

    def test_arrays_come_back(self, result):
        again = load_sequences(result.outputs["run"].parent)
        for name in ("motifs", "activations", "cost", "loadings", "epochs", "pvalues"):
            np.testing.assert_array_equal(getattr(again, name), getattr(result.fit, name))
        assert again.units == result.fit.units
        assert (again.rate, again.n_train, again.n_frames) == (30.0, 2250, 3000)
        assert again.input is not None
        with np.load(result.outputs["result"], allow_pickle=False) as archive:
            assert all(archive[name].dtype.kind in "biufU" for name in archive.files)

    def test_record_and_summary(self, result):
        record = json.loads(result.outputs["run"].read_text())
        assert record["parameters"]["rate"] == 30.0
        assert record["parameters"]["length"] == "24 frames"
        assert record["results"]["n_frames_held_out"] == 750
        assert record["command"].startswith("partwise sequences fit ")
        assert {entry["path"] for entry in record["outputs"]} >= {"report.html"}
        summary = json.loads(result.outputs["summary"].read_text())
        assert summary == record["results"]
        assert json.loads(json.dumps(result.summary))["power"] == result.fit.power

    def test_report(self, result):
        page = result.outputs["report"].read_text()
        for text in ("16 units x 3,000 frames (100 s)", "Significant sequences: factor", "eLife 8"):
            assert text in page
        assert page.count("<figure ") == 5

    def test_the_same_files_for_one_thread(self, recording, result, tmp_path):
        again = sequences_fit(recording, **FAST, output_dir=tmp_path, figure=(), threads=1)
        for kind in (*TABLES, "result", "summary"):
            assert again.outputs[kind].read_bytes() == result.outputs[kind].read_bytes(), kind

    def test_parquet(self, recording, result, tmp_path):
        again = sequences_fit(recording, **FAST, output_dir=tmp_path, formats="parquet", figure=())
        typed = pd.read_parquet(again.outputs["factors_parquet"])
        pd.testing.assert_frame_equal(
            typed, pd.read_csv(again.outputs["factors"], keep_default_na=False)
        )
        assert not any(kind.startswith("figure") for kind in again.outputs)

    def test_large_tables_are_no_text(self, recording, result, tmp_path, monkeypatch):
        from partwise.workflows.sequence_jobs import files as sequences_files

        monkeypatch.setattr(sequences_files, "_MOST_AS_TEXT", 3000 * 5 - 1)
        again = sequences_fit(recording, **FAST, output_dir=tmp_path, figure=())
        assert "activations" not in again.outputs
        typed = pd.read_parquet(again.outputs["activations_parquet"])
        np.testing.assert_array_equal(typed["factor_1"], result.fit.activations[0])
        assert "factors" in again.outputs

    def test_nothing_held_out(self, recording, tmp_path):
        settings = {**FAST, "max_iter": 5, "figure": ()}
        found = sequences_fit(recording, **settings, test_fraction=0, output_dir=tmp_path)
        assert found.test is None
        assert np.isnan(found.fit.power_held_out)
        assert found.found["power_held_out"] is None
        assert any("nothing was held out" in text for text in found.warnings)
        assert "was not tested" in found.outputs["report"].read_text()
        factors = pd.read_csv(found.outputs["factors"])
        assert set(factors["significant"]) == {"not tested"}

    def test_seconds(self, recording, tmp_path):
        settings = {"n_components": 2, "max_iter": 3, "n_null": 0, "figure": ()}
        found = sequences_fit(recording, **settings, length=0.8, output_dir=tmp_path)
        assert found.fit.motifs.shape == (16, 2, 24)
        assert found.test is None

    def test_motifs_of_an_earlier_fit_stay(self, recording, result, tmp_path):
        earlier = result.outputs["result"]
        found = sequences_fit(
            recording, motifs=earlier, n_components=4, max_iter=10, n_null=0, figure=(),
            output_dir=tmp_path,
        )  # fmt: skip
        np.testing.assert_array_equal(found.fit.motifs[:, :3], result.fit.motifs)
        assert found.fit.motifs.shape == (16, 4, 24)
        with pytest.raises(UsageError, match="leave out --n-lags"):
            sequences_fit(recording, motifs=earlier, n_lags=5, output_dir=tmp_path)
        with pytest.raises(UsageError, match="holds 3 motifs"):
            sequences_fit(recording, motifs=earlier, n_components=2, output_dir=tmp_path)

    def test_empty_factors_are_told_and_kept(self, recording, tmp_path):
        found = sequences_fit(
            recording, **{**FAST, "n_components": 5, "n_null": 20}, lambda_=0.1, figure=(),
            output_dir=tmp_path,
        )  # fmt: skip
        empty = found.found["empty_factors"]
        assert 0 < len(empty) == found.fit.empty.sum() < 5
        assert found.fit.motifs.shape[1] == len(found.fit.activations) == 5
        assert not found.fit.activations[found.fit.empty].any()
        assert any(f"{len(empty)} of 5 factors" in text for text in found.warnings)
        factors = pd.read_csv(found.outputs["factors"]).set_index("factor")
        assert (factors.loc[empty, "excluded"] == "empty").all()
        assert (factors.loc[empty, ["n_events", "n_units"]] == 0).all(axis=None)

    def test_competing_factors_get_time_to_part(self, recording, tmp_path):
        settings = {**FAST, "n_null": 0, "figure": (), "output_dir": tmp_path, "max_iter": 60}
        found = sequences_fit(recording, **settings, tol=0.5)
        assert len(found.fit.cost) == 52

    @pytest.mark.parametrize(
        "stage", ["fit_recording", "motif_test", "write_files", "write_report"]
    )
    def test_interrupted_at_any_stage(self, recording, tmp_path, monkeypatch, stage):
        from partwise.workflows.sequence_jobs import fit_job as sequences_fit_job

        def stop(*args, **kwargs):
            raise KeyboardInterrupt

        settings = {**FAST, "max_iter": 3, "figure": (), "output_dir": tmp_path}
        sequences_fit(recording, **settings)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        monkeypatch.setattr(sequences_fit_job, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            sequences_fit(recording, **{**settings, "n_components": 4})
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class TestEpochs:
    def test_no_event_leaves_its_epoch(self, recording, tmp_path):
        table = tmp_path / "trials.csv"
        table.write_text("start_s,stop_s\n0,30\n35,65.0\n70,99.5\n")
        found = sequences_fit(
            recording, **{**FAST, "max_iter": 20}, figure=(), epochs=table, output_dir=tmp_path
        )
        assert found.fit.epochs[0].tolist() == [0, 900]
        assert found.fit.epochs[-1, 1] == 2985
        outside = np.ones(3000, bool)
        for start, stop in found.fit.epochs:
            outside[start:stop] = False
        assert outside.sum() == 315
        assert not found.fit.activations[:, outside].any()
        events = pd.read_csv(found.outputs["events"])
        start = found.fit.epochs[events["epoch"] - 1, 0]
        assert np.allclose(events["time_in_epoch"] * 30, events["frame"] - start)
        assert str(table) in found.outputs["run"].read_text()
        assert "3 epochs: 2,685 of 3,000 frames (89.5 s) are used" in found.found["notes"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("values", "settings", "text"),
        [
            ([[1.0, -1, 0, 2, 0, 1], [0, 1, 0, 2, 0, 1]], {}, "negative.*--negative clip"),
            ([[1.0, np.nan, 0, 2, 0, 1], [0, 1, 0, 2, 0, 1]], {}, "missing.*--missing hide"),
            ([[1.0, 2, 0, 2, 0, 1], [0, 1, 0, 2, 0, 1]], {"n_lags": 6}, "not shorter than"),
            ([[1.0, 2, 0, 2, 0, 1], [0, 1, 0, 2, 0, 1]], {"n_lags": 4}, "--test-fraction"),
        ],
    )
    def test_refused(self, values, settings, text, tmp_path):
        np.save(tmp_path / "x.npy", np.array(values))
        with pytest.raises(DataError, match=text):
            sequences_fit(
                tmp_path / "x.npy", **{"n_lags": 2, **settings}, output_dir=tmp_path / "out"
            )
        assert not (tmp_path / "out").exists()

    def test_rows_that_are_frames(self, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((900, 12)))
        with pytest.raises(DataError, match="--layout time-by-units"):
            sequences_fit(tmp_path / "x.npy", n_lags=5, output_dir=tmp_path / "out")

    def test_too_many_factors(self, recording, tmp_path):
        with pytest.raises(UsageError, match="room for"):
            sequences_fit(recording, n_components=4000, n_lags=2, output_dir=tmp_path / "out")

    def test_seconds_need_a_rate(self, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((3, 50)))
        with pytest.raises(UsageError, match="--rate"):
            sequences_fit(tmp_path / "x.npy", length=0.5, output_dir=tmp_path / "out")

    def test_one_lag_silent_units_and_turned_data(self, tmp_path):
        X = np.random.default_rng(0).poisson(0.5, (40, 30)).astype(float)
        X[[2, 5]] = 0
        np.save(tmp_path / "x.npy", X)
        found = sequences_fit(
            tmp_path / "x.npy", n_components=2, n_lags=1, n_null=20, max_iter=10, figure=(),
            output_dir=tmp_path / "out",
        )  # fmt: skip
        said = " ".join(found.warnings)
        assert "2 units are silent" in said
        assert "unit_3, unit_6" in said
        assert "--layout time-by-units" in said
        units = pd.read_csv(found.outputs["units"])
        assert set(units.loc[units["factor"] == 0, "unit"]) == {"unit_3", "unit_6"}

    def test_a_level_that_units_never_leave_is_told(self, tmp_path):
        X = np.random.default_rng(0).random((5, 200)) + 2.0
        X[:, 20:40] = np.nan
        np.save(tmp_path / "x.npy", X)
        settings = {"n_components": 1, "n_lags": 3, "max_iter": 2, "n_null": 0, "figure": ()}
        settings |= {"missing": "hide", "output_dir": tmp_path / "out"}
        found = sequences_fit(tmp_path / "x.npy", **settings)
        (told,) = (text for text in found.warnings if "never go" in text)
        there = np.isfinite(X)
        share = np.nanmin(X, axis=1) ** 2 @ there.sum(axis=1) / np.sum(X[there] ** 2)
        assert told.startswith(f"{share:.0%} of the power")
        assert "--baseline 10 --negative clip" in told
        found = sequences_fit(tmp_path / "x.npy", **settings, baseline=10.0, negative="clip")
        assert not any("never go" in text for text in found.warnings)

    def test_negative_values_as_asked(self, tmp_path):
        X = np.random.default_rng(0).normal(size=(4, 200))
        np.save(tmp_path / "x.npy", X)
        settings = {"n_components": 1, "n_lags": 3, "max_iter": 3, "n_null": 0, "figure": ()}
        found = sequences_fit(
            tmp_path / "x.npy", negative="split", **settings, output_dir=tmp_path / "out"
        )
        assert found.fit.units == tuple(f"unit_{i + 1} {s}" for s in "+-" for i in range(4))
        assert any("negative values" in text for text in found.found["notes"])

    def test_missing_values_are_hidden(self, made, tmp_path):
        X = made.simulated.X.toarray().astype(float)
        X[3, 100:140] = np.nan
        np.savez(tmp_path / "x.npz", X=X, rate=30.0)
        found = sequences_fit(
            tmp_path / "x.npz", **FAST, missing="hide", output_dir=tmp_path / "out"
        )
        assert any("40 values are missing" in text for text in found.found["notes"])
        assert match_motifs(made.simulated.motifs, found.fit.motifs).scores.min() > 0.9
        assert "40 missing values were left out" in found.outputs["report"].read_text()

    @pytest.mark.parametrize(
        ("gone", "text"),
        [
            (slice(200, None), "held out, from frame 225 on, are missing"),
            (slice(None, 230), "fitted, up to frame 225, are missing"),
        ],
    )
    def test_nothing_left_of_a_part(self, gone, text, tmp_path):
        X = np.random.default_rng(0).random((4, 300))
        X[:, gone] = np.nan
        np.save(tmp_path / "x.npy", X)
        with pytest.raises(DataError, match=text):
            sequences_fit(tmp_path / "x.npy", n_lags=5, missing="hide", output_dir=tmp_path / "out")

    def test_units_that_are_missing(self, tmp_path):
        X = np.random.default_rng(0).random((4, 300))
        X[1], X[2] = np.nan, 0.0
        np.save(tmp_path / "x.npy", X)
        found = sequences_fit(
            tmp_path / "x.npy", n_components=1, n_lags=5, missing="hide", max_iter=2, n_null=0,
            figure=(), output_dir=tmp_path / "out",
        )  # fmt: skip
        assert "1 unit is silent throughout, so in no motif: unit_3" in found.warnings
        assert "1 unit is missing throughout, so in no motif: unit_2" in found.warnings

    def test_missing_values_are_hidden_from_the_test(self, made, tmp_path):
        X = made.simulated.X.toarray().astype(float) + 0.2
        X[:, 2500:2560] = np.nan
        np.savez(tmp_path / "x.npz", X=X, rate=30.0)
        fit = sequences_fit(
            tmp_path / "x.npz", **{**FAST, "max_iter": 10}, missing="hide", figure=(),
            output_dir=tmp_path / "fit",
        )  # fmt: skip
        expected = test_significance(
            X[:, 2250:], fit.fit.motifs, missing="hide", n_null=100, random_state=1
        )
        np.testing.assert_allclose(fit.test.statistic, expected.statistic, rtol=1e-9)
        np.testing.assert_array_equal(fit.test.pvalues, expected.pvalues)
        again = sequences_significance(
            tmp_path / "fit", tmp_path / "x.npz", missing="hide", n_null=100, seed=1, figure=(),
            output_dir=tmp_path / "test",
        )  # fmt: skip
        np.testing.assert_array_equal(again.test.pvalues, fit.test.pvalues)
        assert not any("missing" in text for text in again.warnings)
        assert "960 missing values were left out" in again.outputs["report"].read_text()


class TestSignificance:
    def test_new_data(self, made, result, tmp_path):
        more = sequences_simulate(
            n_frames=2000, n_sequences=2, n_neurons=8, gap=2, noise=0.002, seed=4,
            output_dir=tmp_path,
        )  # fmt: skip
        found = sequences_significance(
            result.outputs["run"].parent, more.outputs["recording"], n_null=200, output_dir=tmp_path
        )
        assert found.frames == (0, 2000)
        assert found.test.significant[np.array(result.found["significant_factors"]) - 1].all()
        table = pd.read_csv(found.outputs["factors"])
        assert np.allclose(table["pvalue"], found.test.pvalues)
        assert "report.html" in [path.name for path in found.outputs.values()]
        json.dumps(found.summary)

    def test_the_fitted_file_is_tested_where_it_was_not_fitted(self, recording, result, tmp_path):
        found = sequences_significance(
            result.outputs["result"], recording, n_null=100, seed=1, output_dir=tmp_path
        )
        assert found.frames == (2250, 3000)
        np.testing.assert_array_equal(found.test.statistic, result.test.statistic)
        np.testing.assert_array_equal(found.test.pvalues, result.test.pvalues)
        again = sequences_significance(
            result.outputs["result"], recording, n_null=100, test_fraction=0.5, output_dir=tmp_path
        )
        assert any("was fitted" in text for text in again.warnings)

    def test_the_whole_was_fitted(self, recording, tmp_path):
        settings = {"n_components": 1, "n_lags": 5, "max_iter": 2, "figure": ()}
        whole = sequences_fit(recording, **settings, test_fraction=0, output_dir=tmp_path)
        with pytest.raises(UsageError, match="fitted as a whole"):
            sequences_significance(whole.outputs["result"], recording, output_dir=tmp_path / "o")

    def test_other_units(self, result, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((5, 100)))
        with pytest.raises(DataError, match="the motifs are of 16 units, the recording has 5"):
            sequences_significance(
                result.outputs["result"], tmp_path / "x.npy", output_dir=tmp_path / "o"
            )

    def test_units_are_matched_by_name(self, made, result, tmp_path):
        order = np.random.default_rng(0).permutation(16)
        names = np.array([f"unit_{i + 1}" for i in order])
        np.savez(tmp_path / "x.npz", X=made.simulated.X.toarray()[order], rate=30.0, units=names)
        found = sequences_significance(
            result.outputs["result"], tmp_path / "x.npz", n_null=50, test_fraction=0.25,
            output_dir=tmp_path,
        )  # fmt: skip
        np.testing.assert_allclose(found.test.statistic, result.test.statistic, rtol=1e-5)


class TestPlot:
    def test_redraws(self, recording, result, tmp_path):
        folder = result.outputs["run"].parent
        before = {path.name for path in folder.iterdir()}
        found = sequences_plot(folder, start=10, stop=20, factors=(1, 3), output_dir=tmp_path)
        assert found.frames == (300, 600)
        assert found.outputs["figure_png"].name == "sequences_16_3000_plot_data.png"
        assert found.outputs["figure_png"].stat().st_size > 5000
        assert {path.name for path in folder.iterdir()} == before

    def test_from_another_folder(self, recording, tmp_path, monkeypatch):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "x.npz").write_bytes(recording.read_bytes())
        monkeypatch.chdir(tmp_path)
        settings = {"n_components": 1, "n_lags": 5, "max_iter": 1, "n_null": 0, "figure": ()}
        sequences_fit("data/x.npz", **settings, output_dir="fit")
        monkeypatch.chdir(tmp_path / "fit")
        assert sequences_plot(".", figure="svg").outputs["figure_svg"].is_file()
        (tmp_path / "data" / "x.npz").unlink()
        with pytest.raises(DataError, match="from beside the result: give it with --data"):
            sequences_plot(".")

    def test_spike_times_in_trials(self, tmp_path):
        rng = np.random.default_rng(0)
        times = {"unit": rng.choice(["a", "b", "c"], 300), "time": np.sort(rng.random(300) * 30)}
        pd.DataFrame(times).to_csv(tmp_path / "spikes.csv", index=False)
        pd.DataFrame({"time_s": [2, 14, 25]}).to_csv(tmp_path / "trials.csv", index=False)
        sequences_fit(
            tmp_path / "spikes.csv", bin_width=0.05, n_components=1, n_lags=5, max_iter=2,
            epochs=tmp_path / "trials.csv", align=(1, 3), n_null=0, figure=(),
            output_dir=tmp_path / "fit",
        )  # fmt: skip
        found = sequences_plot(tmp_path / "fit", figure="svg")
        assert found.outputs["figure_svg"].is_file()

    def test_the_model_needs_no_recording(self, result, tmp_path):
        copy = tmp_path / "alone_sequences.npz"
        copy.write_bytes(result.outputs["result"].read_bytes())
        found = sequences_plot(copy, show="reconstruction", figure=("svg", "pdf"))
        assert sorted(path.name for path in found.outputs.values()) == [
            "alone_plot_reconstruction.pdf",
            "alone_plot_reconstruction.svg",
        ]
        with pytest.raises(UsageError, match="--data"):
            sequences_plot(copy)

    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"factors": (9,)}, "no factor 9"),
            ({"start": 500}, "ends at 100 s"),
            ({"side": "SONG"}, "cannot be drawn"),
        ],
    )
    def test_refused(self, result, settings, text, tmp_path):
        with pytest.raises(UsageError, match=text):
            sequences_plot(result.outputs["result"], **settings, output_dir=tmp_path)

    def test_a_recording_of_other_length(self, result, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((16, 100)))
        with pytest.raises(DataError, match="100 frames, the fit is of 3,000"):
            sequences_plot(result.outputs["result"], data=tmp_path / "x.npy", output_dir=tmp_path)


def _plain_sweeps(monkeypatch):
    from partwise.figures import message_figure
    from partwise.workflows.sequence_jobs import sweep_job as sequences_sweep_job

    monkeypatch.setattr(sequences_sweep_job, "write_report", write_plain)
    drawn = message_figure("curves"), "curves"
    monkeypatch.setattr(sequences_sweep_job, "drawn_figures", lambda found: drawn)


class TestChoices:
    def test_sweep(self, recording, tmp_path):
        found = sequences_sweep(recording, **SWEEP, n_repeats=2, output_dir=tmp_path)
        names = {kind: path.name for kind, path in found.outputs.items()}
        assert names["fits"] == "sequences_16_3000_lambda_fits.csv"
        table = pd.read_csv(found.outputs["fits"])
        assert len(table) == 6
        assert {"power", "power_held_out", "n_factors"} <= set(table)
        page = found.outputs["report"].read_text()
        if np.isfinite(found.chosen.recommended):
            assert "partwise sequences fit" in page
            assert f"--lambda {found.chosen.recommended:.2g}" in page
        json.dumps(found.summary)
        assert {path.name for path in tmp_path.iterdir()} == set(names.values())

    def test_select_k(self, recording, tmp_path, monkeypatch):
        found = sequences_select_k(
            recording, ks=(1, 2, 3), n_lags=24, max_iter=25, n_repeats=2, output_dir=tmp_path
        )
        assert found.chosen.recommended == 2
        assert "--n-components 2" in found.outputs["report"].read_text()
        assert pd.read_csv(found.outputs["summary"])["k"].tolist() == [1, 2, 3]
        _plain_sweeps(monkeypatch)
        one = sequences_select_k(
            recording, ks="2", n_lags=24, max_iter=3, n_repeats=2, methods="cv", figure="svg",
            output_dir=tmp_path,
        )  # fmt: skip
        assert set(one.chosen.table["measure"]) == {"cv"}

    def test_resume(self, recording, tmp_path, monkeypatch):
        """Rows that are done are not fitted again, and the tables are the same bytes."""
        from partwise.sequences import _sweep

        _plain_sweeps(monkeypatch)
        whole = sequences_sweep(recording, **SWEEP, n_repeats=2, output_dir=tmp_path / "a")
        fitted, stop = [], 3
        fit = _sweep.Fits.fit

        def counted(self, *args, **kwargs):
            if len(fitted) == stop:
                raise KeyboardInterrupt
            fitted.append(kwargs["lambda_"])
            return fit(self, *args, **kwargs)

        monkeypatch.setattr(_sweep.Fits, "fit", counted)
        folder = tmp_path / "b"
        settings = {**SWEEP, "n_repeats": 2, "output_dir": folder, "threads": 1}
        with pytest.raises(KeyboardInterrupt) as told:
            sequences_sweep(recording, **settings)
        assert any("--resume" in note for note in told.value.__notes__)
        assert [path.name for path in folder.iterdir()] == [".partwise-state-sequences-sweep"]
        stop = 6
        again = sequences_sweep(recording, **settings, resume=True)
        assert len(fitted) == 6
        for kind in ("fits", "curves"):
            assert again.outputs[kind].read_bytes() == whole.outputs[kind].read_bytes()

    @pytest.mark.parametrize("on_disk", [False, True])
    def test_missing_values_are_hidden(self, tmp_path, monkeypatch, on_disk):
        _plain_sweeps(monkeypatch)
        rng = np.random.default_rng(0)
        X = rng.random((6, 300)) * (rng.random((6, 300)) < 0.2)
        X[:, 40:60] = np.nan
        X[2, 280] = np.nan
        np.save(tmp_path / "x.npy", X)
        shared = {"n_lags": 5, "max_iter": 4, "figure": (), "missing": "hide"}
        shared |= {"in_memory": "12KiB"} if on_disk else {}
        with pytest.raises(DataError, match="--missing hide"):
            sequences_sweep(tmp_path / "x.npy", **shared | {"missing": "raise"})
        swept = sequences_sweep(
            tmp_path / "x.npy", n_components=2, lambdas=(1e-3, 1e-1), n_repeats=1,
            output_dir=tmp_path / "a", **shared,
        )  # fmt: skip
        settings = {"max_iter": 4, "tol": 0.0, "missing": "hide"}
        expected = select_lambda(
            X, 2, 5, lambdas=(1e-3, 1e-1), n_repeats=1, random_state=42, settings=settings
        ).table
        pd.testing.assert_frame_equal(swept.chosen.table, expected, rtol=1e-6)
        chosen = sequences_select_k(
            tmp_path / "x.npy", ks="1,2", n_repeats=2, tol=0, output_dir=tmp_path / "b", **shared
        )
        expected = select_k(X, (1, 2), 5, n_repeats=2, random_state=42, settings=settings).table
        pd.testing.assert_frame_equal(chosen.chosen.table, expected, rtol=1e-6)
        for run in (swept, chosen):
            page = run.outputs["report"].read_text()
            assert "121 missing values were left out throughout (6.72% of all)" in page


class TestSimulate:
    def test_truth(self, made):
        events = pd.read_csv(made.outputs["events"])
        assert events["factor"].min() == 1
        assert len(events) == len(made.simulated.events)
        units = pd.read_csv(made.outputs["units"])
        assert units["unit"].iloc[0] == "unit_1"
        with np.load(made.outputs["truth"]) as truth:
            np.testing.assert_array_equal(truth["motifs"], made.simulated.motifs)
        assert "--n-lags" in made.lines()[-1]

    def test_lost_frames_are_epochs(self, tmp_path):
        made = sequences_simulate(n_frames=1000, missing=0.2, seed=1, output_dir=tmp_path)
        epochs = pd.read_csv(made.outputs["epochs"])
        there = np.zeros(1000, bool)
        for start, stop in epochs.itertuples(index=False):
            there[start:stop] = True
        np.testing.assert_array_equal(there, ~made.simulated.missing)

    def test_fluorescence_and_one_value_for_each(self, tmp_path):
        made = sequences_simulate(
            n_frames=500, n_neurons=(3, 5), n_sequences=2, gap=("2", "3"), calcium=5,
            output_dir=tmp_path,
        )  # fmt: skip
        with np.load(made.outputs["recording"]) as file:
            np.testing.assert_array_equal(file["X"], made.simulated.X)
        assert made.simulated.n_units == 8


@pytest.mark.parametrize(
    ("options", "settings", "text"),
    [
        (SequencesFitOptions, {"n_lags": 3, "length": 1.0}, "frames .* or seconds"),
        (SequencesFitOptions, {"n_components": 0}, "n_components"),
        (SequencesFitOptions, {"n_lags": 0}, "n_lags"),
        (SequencesFitOptions, {"lambda_": -1}, "lambda"),
        (SequencesFitOptions, {"solver": "admm"}, "solver"),
        (SequencesFitOptions, {"solver": "hals"}, "--lambda 0"),
        (SequencesFitOptions, {"compat": "matlab", "n_init": 2}, "leave out"),
        (SequencesFitOptions, {"compat": "matlab", "motifs": "x"}, "--motifs"),
        (SequencesFitOptions, {"test_fraction": 1.0}, "test_fraction"),
        (SequencesFitOptions, {"p": 0}, "p must"),
        (SequencesFitOptions, {"correction": "none"}, "correction"),
        (SequencesFitOptions, {"figure": "gif"}, "figure"),
        (SequencesFitOptions, {"formats": "xlsx"}, "format"),
        (SequencesFitOptions, {"rate": 0}, "rate"),
        (SequencesFitOptions, {"baseline": 101}, "percentile"),
        (SequencesFitOptions, {"baseline_window": 3}, "--baseline"),
        (SequencesFitOptions, {"align": (1, 2)}, "--epochs"),
        (SequencesFitOptions, {"align": (1,), "epochs": "x"}, "before and after"),
        (SequencesFitOptions, {"negative": "refuse"}, "negative"),
        (SequencesFitOptions, {"seed": -1}, "seed"),
        (SequencesSweepOptions, {"lambdas": "0.1"}, "two values"),
        (SequencesSweepOptions, {"lambdas": (0.1, 0)}, "above 0"),
        (SequencesSweepOptions, {"lambdas": "low,high"}, "numbers"),
        (SequencesSelectKOptions, {"ks": "4-2"}, "whole numbers"),
        (SequencesSelectKOptions, {"ks": "x"}, "whole numbers"),
        (SequencesSelectKOptions, {"methods": "gap"}, "methods"),
        (SequencesSelectKOptions, {"n_repeats": 1}, "n_repeats"),
        (SequencesSelectKOptions, {"fraction": 0.9}, "fraction"),
        (SequencesSignificanceOptions, {"n_null": 0}, "n_null"),
        (SequencesSignificanceOptions, {"test_fraction": 0.0}, "test_fraction"),
        (SequencesPlotOptions, {"start": 3, "stop": 2}, "not after"),
        (SequencesPlotOptions, {"factors": "a"}, "factors"),
        (SequencesPlotOptions, {"show": "both"}, "show"),
        (SequencesPlotOptions, {"figure": ()}, "figure"),
        (SequencesSimulateOptions, {"n_neurons": "many"}, "n_neurons"),
        (SequencesSimulateOptions, {"gap": ()}, "gap"),
        (SequencesSimulateOptions, {"rate": 0}, "rate"),
    ],
)
def test_options_that_cannot_be_used(options, settings, text):
    with pytest.raises(UsageError, match=text):
        options(**settings)


@pytest.mark.parametrize("damage", ["text", "cut", "objects", "other", "layout", "negative"])
def test_files_that_are_no_results(result, damage, tmp_path):
    path = tmp_path / "x_sequences.npz"
    whole = result.outputs["result"].read_bytes()
    with np.load(result.outputs["result"]) as archive:
        arrays = dict(archive)
    if damage == "text":
        path.write_text("factor,loading\n")
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "objects":
        np.savez(path, **{**arrays, "units": np.array([{}], dtype=object)})
    elif damage == "other":
        np.savez(path, X=np.ones(3))
    elif damage == "layout":
        np.savez(path, **{**arrays, "partwise_sequences": np.int64(99)})
    else:
        np.savez(path, **{**arrays, "motifs": -arrays["motifs"]})
    with pytest.raises(DataError):
        load_sequences(tmp_path)


def test_folders_without_a_result(result, tmp_path):
    with pytest.raises(UsageError, match="holds no result"):
        load_sequences(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        load_sequences(tmp_path / "none.npz")
    for name in ("a", "b"):
        (tmp_path / f"{name}_sequences.npz").write_bytes(result.outputs["result"].read_bytes())
    with pytest.raises(UsageError, match="several results"):
        load_sequences(tmp_path)


def test_songbird(data_dir, tmp_path):
    """The published recording from its .mat file, with the song above."""
    found = sequences_fit(
        data_dir / "MackeviciusData.mat",
        variable="NEURAL",
        length=2 / 3,
        lambda_=0.005,
        l1_motifs=0.1,
        n_null=100,
        output_dir=tmp_path,
    )
    assert found.fit.motifs.shape == (75, 10, 20)
    assert found.fit.rate == pytest.approx(30.0)
    assert found.fit.n_train == 499
    assert found.fit.power > 0.3
    assert found.fit.power_held_out > 0.2
    assert "SONG" in " ".join(found.found["notes"])
