"""`partwise neighborhoods` as a program, and `partwise cluster` on what it takes and gives."""

import json

import pytest

from partwise.cli.app import run
from partwise.datasets import simulate_tissue, write_tissue


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    tissue = simulate_tissue(900, n_fovs=3, n_niches=3, n_types=6, seed=2)
    return write_tissue(tissue, tmp_path_factory.mktemp("cells"))["table"]


def test_prints_what_comes_next(partwise, cells, tmp_path):
    done = partwise("neighborhoods", cells, "--radius", "50", "--metadata", "patient", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("900 cells in 3 fields of view, 6 types: 1")
    assert lines[-2].startswith("report: ")
    assert lines[-1] == (
        "next: partwise cluster neighborhoods/test_cells_900_neighborhoods.csv "
        "--id-columns fov,label,cell_meta_cluster,patient"
    )


def test_cluster_gives_the_same_from_cells_and_from_their_table(cells, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run(["neighborhoods", str(cells), "--radius", "50", "-o", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name, arguments in (
        ("one", [str(cells), "--radius", "50"]),
        ("two", [found["outputs"]["table"]]),
    ):
        folder = str(tmp_path / name)
        assert run(["cluster", *arguments, "-n", "3", "-o", folder, "--quiet"]) == 0
    one, two = (
        next((tmp_path / name).glob("*_nmf_leiden_clusters.csv")).read_bytes()
        for name in ("one", "two")
    )
    assert one == two
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert record["parameters"]["radius"] == 50.0
    assert "within a distance of 50" in (tmp_path / "one" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--radius", "0"), 2, "radius must be a number above 0"),
        (("--neighborhood", "box"), 2, "--neighborhood"),
        (("--type", "nothing"), 3, "there is no column 'nothing'"),
        (("--radius", "0.01"), 2, "no cell has a neighbour within 0.01"),
        (("--metadata", "nothing"), 3, "'nothing' not found"),
    ],
)
def test_errors(cells, tmp_path, capsys, arguments, code, text):
    assert run(["neighborhoods", str(cells), *arguments, "-o", str(tmp_path / "out")]) == code
    told = capsys.readouterr().err
    assert text in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_a_missing_file(tmp_path, capsys):
    assert run(["neighborhoods", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out")]) == 3
    assert "there is no such file" in capsys.readouterr().err


def test_the_options_on_the_page_are_current():
    from pathlib import Path

    from partwise.cli.reference import reference

    page = (Path(__file__).parents[2] / "docs" / "neighborhoods.md").read_text("utf-8")
    begin, end = "<!-- options: begin -->\n", "<!-- options: end -->"
    assert (
        page.partition(begin)[2].partition(end)[0].strip() == reference("neighborhoods").strip()
    ), "run `python -m partwise.cli.reference docs/neighborhoods.md`"
