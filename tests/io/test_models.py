"""Models on disk: the same model comes back; nothing else is believed."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

import partwise
from partwise import NMF, MiniBatchNMF
from partwise.exceptions import DataError, PartwiseWarning, UsageError
from partwise.io import load_model, save_model
from partwise.io.packing import Packer, Unpacker, array_bytes, array_from_bytes

X = np.random.default_rng(0).random((60, 3)) @ np.random.default_rng(1).random((3, 8))
FRAME = pd.DataFrame(X, columns=[f"CD{j}é" for j in range(8)])


@pytest.fixture(scope="module")
def model():
    penalty = np.array([0.1, 0.1, 0.2])
    return NMF(3, l2_usage=penalty, l2_programs=0.1, random_state=7).fit(FRAME)


@pytest.fixture
def saved(model, tmp_path):
    save_model(model, tmp_path / "model.npz")
    return tmp_path / "model.npz"


def assert_same(left, right):
    assert type(left) is type(right)
    for name, value in left.get_params().items():
        np.testing.assert_array_equal(right.get_params()[name], value)
    np.testing.assert_array_equal(right.components_, left.components_)
    assert right.components_.dtype == left.components_.dtype
    assert right.n_features_in_ == left.n_features_in_
    assert right.n_iter_ == left.n_iter_
    assert right.reconstruction_err_ == left.reconstruction_err_
    for name, value in vars(left.result_).items():
        other = getattr(right.result_, name)
        np.testing.assert_array_equal(other, value)
        assert type(other) is type(value) or isinstance(value, np.generic)


def test_a_model_comes_back(model, saved):
    back = load_model(saved)
    assert_same(model, back)
    assert back.feature_names_in_.tolist() == FRAME.columns.tolist()
    assert back.feature_names_in_.dtype == object
    assert back.result_.status is model.result_.status
    np.testing.assert_array_equal(back.transform(FRAME), model.transform(FRAME))
    assert back.get_feature_names_out().tolist() == ["nmf0", "nmf1", "nmf2"]


def test_the_same_model_gives_the_same_bytes(model, saved, tmp_path):
    save_model(load_model(saved), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mini_batches_go_on_where_they_stopped(tmp_path, dtype):
    data = X.astype(dtype)
    model = MiniBatchNMF(2, batch_size=20, random_state=0)
    for start in (0, 20):
        model.partial_fit(data[start : start + 20])
    save_model(model, tmp_path / "a.npz")
    back = load_model(tmp_path / "a.npz")
    assert back.n_steps_ == 2
    model.partial_fit(data[40:])
    back.partial_fit(data[40:])
    np.testing.assert_array_equal(back.components_, model.components_)
    assert back.components_.dtype == dtype
    fitted = MiniBatchNMF(2, batch_size=20, random_state=0).fit(data)
    save_model(fitted, tmp_path / "b.npz")
    assert_same(fitted, load_model(tmp_path / "b.npz"))


def test_names_for_a_model_of_an_array(tmp_path):
    model = NMF(2, random_state=0).fit(X)
    save_model(model, tmp_path / "a.npz", feature_names=FRAME.columns)
    assert load_model(tmp_path / "a.npz").feature_names_in_.tolist() == FRAME.columns.tolist()
    assert not hasattr(model, "feature_names_in_")
    with pytest.raises(UsageError, match="there are 1 feature names, but the model has 8"):
        save_model(model, tmp_path / "a.npz", feature_names=["A"])


def test_a_generator_is_not_saved(tmp_path):
    model = NMF(2, random_state=np.random.default_rng(0)).fit(X)
    with pytest.warns(PartwiseWarning, match="random_state is a generator"):
        save_model(model, tmp_path / "a.npz")
    assert load_model(tmp_path / "a.npz").random_state is None


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(UsageError, match="the NMF is not fitted; call fit before saving it"):
        save_model(NMF(2), tmp_path / "a.npz")
    with pytest.raises(UsageError, match="cannot save a dict; models are: ConsensusNMF, Mini"):
        save_model({}, tmp_path / "a.npz")

    class NMF2(NMF):
        pass

    NMF2.__name__ = "NMF"
    with pytest.raises(UsageError, match="cannot save a NMF"):
        save_model(NMF2(2).fit(X), tmp_path / "a.npz")
    with pytest.raises(UsageError, match="init is a object, which cannot be saved"):
        save_model(NMF(2).fit(X).set_params(init=object()), tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def refused(path):
    with pytest.raises(DataError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_model_that_was_cut_off(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    assert refused(saved).startswith("this is no model that partwise saved, or it is damaged (")


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(model, saved):
    data = saved.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.choice(len(data), 150, replace=False):
        broken = bytearray(data)
        broken[place] ^= 1 << rng.integers(8)
        saved.write_bytes(broken)
        try:
            assert_same(model, load_model(saved))
        except DataError:
            noticed += 1
    assert noticed > 75


def test_files_that_are_no_model(tmp_path):
    assert refused(tmp_path / "none.npz") == "there is no such file"
    np.savez(tmp_path / "a.npz", X=X)
    assert refused(tmp_path / "a.npz").startswith("this is no model that partwise saved")
    (tmp_path / "b.npz").write_bytes(b"\x80\x04\x95pickle")
    assert refused(tmp_path / "b.npz").startswith("this is no model that partwise saved")


def tampered(path, change, extra=None, compress=zipfile.ZIP_STORED):
    """Write the model anew after `change` has seen its description and arrays."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members.pop("model.json"))
    change(description, members)
    members["model.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, data in {**members, **(extra or {})}.items():
            archive.writestr(name, data)
    return path


def test_a_later_layout(saved):
    tampered(saved, lambda d, _: d.update(schema=3, partwise="9.9"))
    assert refused(saved) == (
        "the model has layout 3 (partwise 9.9), but this partwise reads layouts 1 and 2: update "
        "partwise"
    )


def test_an_unknown_class(saved):
    tampered(saved, lambda d, _: d.update({"class": "os.system"}))
    assert refused(saved) == "the model is of the unknown class 'os.system'"


def change_state(key, value):
    return lambda d, _: d["state"].update({key: value})


def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]


HOSTILE = {
    "a parameter that is none": lambda d, _: d["parameters"].update(evil=1),
    "a method": change_state("transform", 1),
    "a private name": change_state("__class__", "x"),
    "a name of the class": change_state("__reduce__", "x"),
    "a path": change_state("components_", {"$array": "../../etc/passwd"}),
    "an absolute path": change_state("components_", {"$array": "/etc/passwd"}),
    "no such array": change_state("components_", {"$array": "none"}),
    "another class": change_state("result_", {"$record": "Popen", "fields": {}}),
    "another field": change_state("result_", {"$record": "Factorization", "fields": {"x": 1}}),
    "an unknown tag": change_state("components_", {"$call": "os.system"}),
    "two tags": change_state("components_", {"$array": "components_", "$x": 1}),
    "a list as an array name": change_state("components_", {"$array": ["components_"]}),
    "nesting without end": change_state("x_", nested(60)),
    "no components": lambda d, _: d["state"].pop("components_"),
    "components of one dimension": lambda d, m: m.update(
        {"components_.npy": array_bytes(np.ones(8, np.float32))}
    ),
    "other features": lambda d, m: m.update(
        {"components_.npy": array_bytes(np.ones((3, 7), np.float32))}
    ),
    "integers": lambda d, m: m.update({"components_.npy": array_bytes(np.ones((3, 8), int))}),
    "negative": lambda d, m: m.update({"components_.npy": array_bytes(-np.ones((3, 8)))}),
    "missing values": lambda d, m: m.update(
        {"components_.npy": array_bytes(np.full((3, 8), np.nan))}
    ),
    "too few names": change_state("feature_names_in_", {"$names": ["A"]}),
    "names of numbers": change_state("feature_names_in_", {"$names": [1] * 8}),
    "a cut array": lambda d, m: m.update({"components_.npy": m["components_.npy"][:-4]}),
    "a long array": lambda d, m: m.update({"components_.npy": m["components_.npy"] + b"0000"}),
    "another format": lambda d, _: d.update(format="other"),
    "no state": lambda d, _: d.pop("state"),
    "a state of numbers": lambda d, _: d.update(state=5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_that_was_tampered_with(saved, name):
    tampered(saved, HOSTILE[name])
    assert refused(saved).startswith("this is no model that partwise saved, or it is damaged (")


def test_python_objects_in_arrays_are_never_loaded(saved, tmp_path):
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    payload = (tmp_path / "a.npy").read_bytes()
    tampered(saved, lambda d, m: m.update({"components_.npy": payload}))
    assert "an array of object" in refused(saved)


def test_members_that_would_leave_the_folder_are_never_unpacked(saved, tmp_path):
    tampered(saved, lambda d, m: None, extra={"../evil.npy": b"x", "/tmp/evil.npy": b"x"})
    load_model(saved)
    assert not (tmp_path.parent / "evil.npy").exists()


def test_compressed_members_are_refused(saved):
    tampered(saved, lambda d, m: None, compress=zipfile.ZIP_DEFLATED)
    assert "is compressed" in refused(saved)


def test_sums_of_batches_that_do_not_fit(tmp_path):
    model = MiniBatchNMF(2, batch_size=20, random_state=0).partial_fit(X)
    save_model(model, tmp_path / "a.npz")

    def change(description, members):
        name = description["state"]["_online"]["fields"]["cross"]["$array"]
        members[f"{name}.npy"] = array_bytes(np.zeros((2, 2)))

    tampered(tmp_path / "a.npz", change)
    assert "the sums of the batches do not fit the programs" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        float("inf"),
        "text",
        [1, [2, "x"]],
        (1, (2,)),
        {"a": {"b": 1.5}},
    ],
)
def test_values_come_back(value):
    packer = Packer()
    packed = json.loads(json.dumps(packer.pack(value, "v"), allow_nan=False))
    back = Unpacker(packer.arrays.__getitem__).unpack(packed)
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back():
    packed = Packer().pack(float("nan"), "v")
    assert np.isnan(Unpacker({}.__getitem__).unpack(packed))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "?", ">f4"])
def test_arrays_come_back(order, dtype):
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    back = array_from_bytes(array_bytes(array))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.flags.writeable


def test_arrays_of_a_name_each():
    packer = Packer()
    packed = packer.pack([np.ones(1), np.zeros(1)], "../a b")
    assert [value["$array"] for value in packed] == ["a_b_0", "a_b_1"]
    assert packer.pack(np.ones(2), "a_b_0") == {"$array": "a_b_0_"}


@pytest.mark.parametrize(
    ("attribute", "change"),
    [
        ("motifs_", lambda a: a[:, :, :-1]),
        ("motifs_", lambda a: a - 1),
        ("activations_", lambda a: a[:1]),
        ("activations_", lambda a: np.where(a > 0, np.nan, a)),
        ("before_", lambda a: a[:, :, 1:]),
        ("n_features_in_", lambda n: n + 1),
        ("epochs_", lambda spans: spans * 2),
    ],
)
def test_sequences_whose_parts_do_not_fit(tmp_path, attribute, change):
    model = partwise.SeqNMF(2, 5, max_iter=3, random_state=0).fit(np.eye(6, 60))
    partwise.save(model, tmp_path / "good.npz", feature_names=list("ABCDEF"))
    again = partwise.load(tmp_path / "good.npz")
    np.testing.assert_array_equal(again.motifs_, model.motifs_)
    np.testing.assert_array_equal(again.reconstruct(), model.reconstruct())
    assert list(again.feature_names_in_) == list("ABCDEF")
    assert (again.status_, again.epochs_) == (model.status_, model.epochs_)
    setattr(model, attribute, change(getattr(model, attribute)))
    partwise.save(model, tmp_path / "bad.npz")
    with pytest.raises(DataError, match="damaged"):
        partwise.load(tmp_path / "bad.npz")
