"""`partwise warmup`."""

from __future__ import annotations

import click

__all__ = ["warmup"]


@click.command()
@click.option("--quiet", is_flag=True, help="Print nothing.")
def warmup(quiet: bool) -> None:
    """Compile the numerical kernels now rather than in the first run; takes about a minute.

    They are kept on disk, so this is needed once per installation, and never has to be done.
    """
    from partwise.workflows import warmup as run

    seconds = run()
    if not quiet:
        print(f"kernels are ready ({seconds:.1f} s)")
