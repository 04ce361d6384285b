"""The page of `partwise tune` says what the command does."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tune.md"


def test_the_options_are_current():
    from partwise.cli.reference import reference

    text = PAGE.read_text("utf-8")
    listed = text.partition("<!-- options: begin -->\n")[2].partition("<!-- options: end -->")[0]
    assert listed.strip() == reference("tune").strip(), (
        "run `python -m partwise.cli.reference docs/tune.md`"
    )
