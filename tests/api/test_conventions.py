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
        last = info.name.rpartition(".")[2]
        if not last.startswith("_"):
            yield importlib.import_module(info.name)


def _public():
    """Yield (name, object) of what the modules define and list in __all__."""
    seen = set()
    for module in _modules():
        for name in getattr(module, "__all__", ()):
            obj = inspect.getattr_static(module, name, None)
            obj = getattr(module, name) if obj is None else obj
            home = getattr(obj, "__module__", None)
            if home == module.__name__ and (module.__name__, name) not in seen:
                seen.add((module.__name__, name))
                yield f"{module.__name__}.{name}", obj


PUBLIC = list(_public())
FUNCTIONS = [(name, obj) for name, obj in PUBLIC if inspect.isfunction(obj)]
CLASSES = [(name, obj) for name, obj in PUBLIC if inspect.isclass(obj)]
METHODS = [
    (f"{name}.{key}", method)
    for name, cls in CLASSES
    for key, method in vars(cls).items()
    if inspect.isfunction(method) and not key.startswith("_")
]
# kernels take plain arrays by position; numba knows no keyword-only arguments
INTERNAL = ("partwise.kernels.", "partwise.solvers.", "partwise.matrix.", "partwise.objectives.")


def _is_internal(name):
    return name.startswith(INTERNAL)


def _ids(pairs):
    return [name for name, _ in pairs]


def test_there_is_something_to_test():
    assert len(FUNCTIONS) > 20
    assert len(CLASSES) > 10


@pytest.mark.parametrize(("name", "obj"), PUBLIC, ids=_ids(PUBLIC))
def test_public_names_have_a_docstring(name, obj):
    if inspect.isfunction(obj) or inspect.isclass(obj):
        assert obj.__doc__, name
        first = obj.__doc__.strip().splitlines()[0]
        assert first.endswith((".", ":", "?")), first


@pytest.mark.parametrize(("name", "function"), METHODS, ids=_ids(METHODS))
def test_public_methods_have_a_docstring(name, function):
    assert inspect.getdoc(function), name


@pytest.mark.parametrize(("name", "function"), FUNCTIONS + METHODS, ids=_ids(FUNCTIONS + METHODS))
def test_signatures(name, function):
    if _is_internal(name):
        pytest.skip("plain arrays by position")
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    limit = 12 if name in SETTINGS else MOST_PARAMETERS
    assert len(named) <= limit, f"{name} takes {len(named)} parameters"
    positional = [p for p in named if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    optional = [p.name for p in positional[1:] if p.default is not p.empty]
    allowed = POSITIONAL.get(name, ())
    assert set(optional) <= set(allowed), f"{name}: {optional} must be keyword-only"
    assert all(p.annotation is not p.empty for p in parameters), f"{name}: annotate parameters"
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


#: stages that hand all settings of a job on
SETTINGS = {"partwise.graph.cluster.cluster_rows"}
#: second parameters that everyone gives by position: scikit-learn's `y`, and the one number that
#: a function is about
POSITIONAL = {}


@pytest.mark.parametrize(("name", "function"), FUNCTIONS + METHODS, ids=_ids(FUNCTIONS + METHODS))
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
        return
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
