"""`ownwords report`: one HTML file to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console


def report(
    *sets: Path,
    out: Path | None = None,
    budget: float = 16.0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write one HTML file about a run, or about several side by side: figures, pictures, and every token.

    It needs no server and no network and opens from a mail attachment.

    Parameters
    ----------
    sets
        Run directories of `ownwords generate`, in the order of their columns.
    out
        The file; report.html in the first directory if not given.
    budget
        MiB of traces to embed at most; of a larger set the file holds a sample, and says so.
    overwrite
        Replace the file of an earlier report.
    """
    if not sets:
        raise ValueError("no set is named, expected one or more run directories: ownwords report RUN [RUN ...]")
    console = Console(highlight=False, soft_wrap=True)
    with console.status("loading") as status:
        from ownwords.reports.report import write_report

        path = out or sets[0] / "report.html"
        write_report(sets, path, budget, overwrite, status.update)
    console.print(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB), open it in a browser")
