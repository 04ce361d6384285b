"""`partwise simulate tissue`."""

import json

import pandas as pd
import pytest

from partwise.cli.app import run
from partwise.datasets import simulate_tissue
from partwise.exceptions import UsageError
from partwise.workflows import simulate_cells


def test_every_option_reaches_the_simulator(tmp_path, capsys):
    flags = "-n 400 -f 8 --n-niches 3 --n-types 5 --n-patients 4 --n-groups 2 --effect 0.2"
    arguments = [*flags.split(), "--noise", "0.5", "-s", "7", "-o", str(tmp_path), "--json"]
    assert run(["simulate", "tissue", *arguments]) == 0
    written = json.loads(capsys.readouterr().out)["outputs"]
    expected = simulate_tissue(
        400, n_fovs=8, n_niches=3, n_types=5, n_patients=4, groups=2, effect=0.2, noise=0.5, seed=7
    )
    table = pd.read_csv(written["table"])
    assert table.astype(str).equals(expected.cells.astype(str))
    assert set(written) == {"table", "truth", "programs"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_niches": 1}, "n_niches must be a whole number from 2 up"),
        ({"n_patients": 0}, "n_patients"),
        ({"n_fovs": 20, "n_cells": 10}, "between 1 and the number of cells"),
        ({"noise": "much"}, "noise must be a number"),
        ({"effect": 0.2}, "there is one group"),
    ],
)
def test_refusals(tmp_path, options, text):
    with pytest.raises(UsageError, match=text):
        simulate_cells(output_dir=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
