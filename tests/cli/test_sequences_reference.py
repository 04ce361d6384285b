"""The page of `partwise sequences` says what the commands do."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sequences.md"


def test_the_options_are_current():
    from partwise.cli.reference import reference

    text = PAGE.read_text("utf-8")
    listed = text.partition("<!-- options: begin -->\n")[2].partition("<!-- options: end -->")[0]
    assert listed.strip() == reference("sequences").strip(), (
        "run `python -m partwise.cli.reference docs/sequences.md`"
    )


def test_every_option_of_every_command_is_there():
    from partwise.workflows.options import specs
    from partwise.workflows.sequence_jobs.options import options_of_commands

    parts = PAGE.read_text("utf-8").split("### partwise sequences ")[1:]
    pages = {part.split("\n", 1)[0]: part for part in parts}
    for command, options in options_of_commands().items():
        for spec in specs(options):
            assert f"`{spec.flags[-1]}`" in pages[command], (command, spec.flags)
