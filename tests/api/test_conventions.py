"""The conventions of the public interface, tested on every public name."""

import importlib
import inspect
import pkgutil
import re

import pytest

import partwise

MOST_PARAMETERS = 8


def _modules():
    for info in pkgutil.walk_packages(partwise.__path__, "partwise."):
        if not info.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(info.name)


def _exports():
    """Yield what users see: the names that the rooms list."""
    for module in _modules():
        if module.__name__.count(".") == 1:
            for name in getattr(module, "__all__", ()):
                yield getattr(module, name)


def _listed():
    """Yield (name, object) of what all modules define and list in __all__."""
    for module in _modules():
        for name in getattr(module, "__all__", ()):
            obj = getattr(module, name)
            if getattr(obj, "__module__", None) == module.__name__:
                yield f"{module.__name__}.{name}", obj


def _with_methods(pairs):
    """Yield functions, and the methods that we wrote of classes."""
    for name, obj in pairs:
        if inspect.isfunction(obj):
            yield name, obj
        for key in dir(obj) if inspect.isclass(obj) else ():
            method = inspect.getattr_static(obj, key)
            ours = (getattr(method, "__module__", None) or "").startswith("partwise")
            if inspect.isfunction(method) and not key.startswith("_") and ours:
                yield f"{name}.{key}", method


def _ids(pairs):
    return [name for name, _ in pairs]


EXPORTED = {id(obj) for obj in _exports()}
LISTED = list(_listed())
FUNCTIONS = list(_with_methods(LISTED))
PUBLIC = list(_with_methods([(name, obj) for name, obj in LISTED if id(obj) in EXPORTED]))

#: kernels and solvers take plain arrays by position; numba knows no keyword-only arguments
ENGINE = ("partwise.kernels.", "partwise.solvers.", "partwise.matrix.", "partwise.objectives.")
#: what takes all settings of an algorithm, a job, an option or a drawing
SETTINGS = {
    "partwise.datasets.tissue.simulate_tissue",
    "partwise.factorize.rank.select_rank",
    "partwise.graph.cluster.cluster_rows",
    "partwise.graph.leiden.leiden",
    "partwise.graph.spatial.neighborhood_table",
    "partwise.workflows.options.option",
    "partwise.io.opening.open_table",
    "partwise.io.recordings.open_recording",
    "partwise.workflows.tuning.engine.tune_rows",
    "partwise.figures.heatmap.heatmap",
    "partwise.sequences.k_sweep.select_k",
    "partwise.sequences.lambda_sweep.select_lambda",
    "partwise.sequences.sequence_score.sequenciness",
    "partwise.sequences.significance.test_significance",
    "partwise.figures.sequences.factor_plot",
}
#: parameters as another package has them, so that its scripts run
FOREIGN = {"partwise.sequences.original.seqnmf"}
#: optional parameters that may be given by position: the one number or name that a call is about,
#: and scikit-learn's grammar
POSITIONAL = {
    "neighbors": {"n_neighbors"},
    "leiden": {"resolution"},
    "partition_quality": {"resolution"},
    "canonical_labels": {"multiplicity"},
    "main": {"arguments"},
    "simulate_neighborhoods": {"n_cells"},
    "simulate_programs": {"n"},
    "simulate_sequences": {"n_frames"},
    "simulate_tissue": {"n_cells"},
    "select_rank": {"ranks"},
    "write_simulated": {"folder"},
    "write_tissue": {"folder"},
    "elide": {"longest"},
    "factor_plot": {"data"},
    "display_name": {"longest"},
    "render": {"fmt"},
    "RunRecord.write": {"status"},
    "RunRecord.to_dict": {"status"},
    "fit": {"y"},
    "fit_transform": {"y", "W", "H"},
    "partial_fit": {"y", "H"},
    "score": {"y"},
}


def test_there_is_something_to_test():
    assert len(PUBLIC) > 30
    assert len(FUNCTIONS) > 100


@pytest.mark.parametrize(("name", "obj"), LISTED, ids=_ids(LISTED))
def test_listed_names_have_a_docstring(name, obj):
    if inspect.isfunction(obj) or inspect.isclass(obj):
        assert obj.__doc__, name
        first = obj.__doc__.strip().splitlines()[0]
        assert first.endswith((".", ":", "?")), first


@pytest.mark.parametrize(("name", "function"), PUBLIC, ids=_ids(PUBLIC))
def test_public_methods_have_a_docstring(name, function):
    assert inspect.getdoc(function), name


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=_ids(FUNCTIONS))
def test_few_parameters_with_types(name, function):
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    if not name.startswith(ENGINE) and name not in FOREIGN:
        limit = 12 if name in SETTINGS else MOST_PARAMETERS
        assert len(parameters) <= limit, f"{name} takes {len(parameters)} parameters"
    assert all(p.annotation is not p.empty for p in parameters), f"{name}: annotate parameters"
    assert signature.return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize(("name", "function"), PUBLIC, ids=_ids(PUBLIC))
def test_keyword_only_after_the_data(name, function):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    optional = {p.name for p in positional if p.default is not p.empty}
    if name in FOREIGN:
        return
    short, owner = name.rpartition(".")[2], ".".join(name.split(".")[-2:])
    allowed = POSITIONAL.get(short, set()) | POSITIONAL.get(owner, set())
    assert optional <= allowed, f"{name}: {sorted(optional - allowed)} must be keyword-only"


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=_ids(FUNCTIONS))
def test_free_keywords_only_if_handed_whole_to_one_function(name, function):
    parameters = inspect.signature(function).parameters.values()
    free = [p.name for p in parameters if p.kind == p.VAR_KEYWORD]
    if free:
        section = inspect.getdoc(function).partition("**" + free[0])[2]
        assert re.search(r"`\w+`", section), f"{name}: say who takes **{free[0]}"


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=_ids(FUNCTIONS))
def test_docstrings_name_every_parameter(name, function):
    doc = inspect.getdoc(function)
    if "\nParameters\n" not in doc:
        return  # short helpers say it in a sentence
    section = doc.partition("\nParameters\n")[2]
    section = re.split(r"\n(?:Returns|Yields|Raises|Examples|Notes|References)\n-", section)[0]
    listed = {
        word.strip(" *")
        for line in section.splitlines()
        if line and not line.startswith((" ", "-"))
        for word in line.partition(":")[0].split(",")
    }
    parameters = {p for p in inspect.signature(function).parameters if p != "self"}
    assert parameters <= listed, f"{name}: {sorted(parameters - listed)} not described"
