"""Models that earlier versions saved load, and give the numbers that they gave then."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import partwise
from partwise.exceptions import DataError
from partwise.io.models import _MODELS, SCHEMA

FOLDER = Path(__file__).parents[1] / "golden" / "models"
BUNDLES = sorted(FOLDER.glob("*.npz"))


def rows(n=5):
    """Return the first rows of the data of make.py."""
    i, j = np.arange(n)[:, None], np.arange(6)[None, :]
    left = np.concatenate([1 + np.sin(0.7 * i), 1 + np.cos(1.3 * i)], axis=1)
    right = np.concatenate([1 + np.cos(0.9 * j), 1 + np.sin(2.1 * j)], axis=0)
    return left @ right + 0.05 * (1 + np.sin(3.7 * i * (j + 1)))


def test_every_class_and_layout_is_there():
    classes = {json.loads(path.with_suffix(".json").read_text())["class"] for path in BUNDLES}
    assert classes == set(_MODELS)
    layouts = {path.name.partition("_")[0] for path in BUNDLES}
    assert layouts == {f"schema{i}" for i in range(1, SCHEMA + 1)}


PROGRAMS = [path for path in BUNDLES if "seqnmf" not in path.stem]


@pytest.mark.parametrize("path", PROGRAMS, ids=[path.stem for path in PROGRAMS])
def test_bundle(path):
    facts = json.loads(path.with_suffix(".json").read_text())
    model = partwise.load(path)
    assert type(model).__name__ == facts["class"]
    np.testing.assert_array_equal(model.components_, facts["components"])
    assert list(model.feature_names_in_) == facts["feature_names"]
    del model.feature_names_in_  # the rows here have none
    usage = model.transform(rows().astype(model.components_.dtype))
    # signed models may use 1e-7 where another processor uses 0
    np.testing.assert_allclose(usage, facts["usage"], rtol=1e-4, atol=1e-5)
    if "online" in path.stem:
        model.partial_fit(rows().astype(model.components_.dtype))


def test_bundle_of_sequences():
    path = FOLDER / "schema2_seqnmf.npz"
    facts = json.loads(path.with_suffix(".json").read_text())
    model = partwise.load(path)
    np.testing.assert_array_equal(model.motifs_, facts["motifs"])
    assert list(model.feature_names_in_) == facts["feature_names"]
    recording = rows(12).T
    found = model.transform(recording)
    np.testing.assert_allclose(found, facts["activations"], rtol=1e-4, atol=1e-5)


def test_what_a_model_records_of_its_preparation():
    model = partwise.load(FOLDER / "schema2_nmf_prepared.npz")
    assert [step["step"] for step in model.preparation_] == ["normalize_total", "log1p"]


def test_saved_again_it_is_the_same(tmp_path):
    for path in (p for p in BUNDLES if p.name.startswith(f"schema{SCHEMA}_")):
        again = tmp_path / path.name
        partwise.save(partwise.load(path), again)
        with zipfile.ZipFile(path) as one, zipfile.ZipFile(again) as other:
            assert one.namelist() == other.namelist()
            for name in set(one.namelist()) - {"model.json"}:
                assert one.read(name) == other.read(name), (path.name, name)
            texts = [json.loads(archive.read("model.json")) for archive in (one, other)]
        for text in texts:
            del text["partwise"]  # the version that saved it
        assert texts[0] == texts[1]


def test_a_later_layout_says_so(tmp_path):
    path = tmp_path / "later.npz"
    shutil.copy(BUNDLES[0], path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = json.loads(members["model.json"])
    text |= {"schema": SCHEMA + 1, "partwise": "9.9"}
    members["model.json"] = json.dumps(text).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(DataError, match=rf"layout {SCHEMA + 1} \(partwise 9.9\).*update partwise"):
        partwise.load(path)
