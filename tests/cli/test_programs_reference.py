"""The page of `partwise programs` says what the command does."""

from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"


def test_the_options_are_current():
    from partwise.cli.reference import reference

    text = PAGE.read_text("utf-8")
    listed = text.partition("<!-- options: begin -->\n")[2].partition("<!-- options: end -->")[0]
    assert listed.strip() == reference("programs").strip(), (
        "run `python -m partwise.cli.reference docs/programs.md`"
    )


def test_the_python_example_runs():
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.3, size=(120, 6)) @ rng.gamma(0.3, size=(6, 90))
    names = {
        "counts": rng.poisson(30 * mean).astype(np.float64),
        "gene_names": [f"g{j}" for j in range(90)],
    }
    code = PAGE.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    code = code.replace("n_replicates=100", "n_replicates=6").replace("range(5, 14)", "range(5, 8)")
    exec(compile(code, "docs/programs.md", "exec"), names)
    k = names["k"]
    assert names["scores"].shape == (k, 90)
    assert names["usage"].shape == (120, k)
