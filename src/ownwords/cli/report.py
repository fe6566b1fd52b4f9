"""`ownwords report`: one HTML file to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.numbers import real

Budget = Annotated[float, real("MiB", 0, 1e6, above=True)]


@command
def report(
    *sets: Path,
    out: Path | None = None,
    budget: Budget = 16.0,
    overwrite: bool = False,
) -> None:
    """Write one HTML file about a run, or about several side by side: figures, pictures, and every token.

    It needs no server and no network and opens from a mail attachment.

    Parameters
    ----------
    sets
        Run directories of `ownwords generate`, in the order of their columns.
    out
        File to write. [default: report.html in the first directory]
    budget
        Maximum MiB of traces to embed; the page holds a sample of a larger set, and says so.
    overwrite
        Replace the file of an earlier report.
    """
    if not sets:
        raise ValueError("no set is named, expected one or more run directories: ownwords report RUN [RUN ...]")
    console = Console(soft_wrap=True)
    path = out or sets[0] / "report.html"
    with console.status("loading") as status:
        report_writer()(sets, path, budget, overwrite, lambda step: status.update(Text(step)))
    console.print(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB), open it in a browser")


class NoPictures(ValueError):
    """matplotlib is not installed."""


def report_writer() -> Callable[..., None]:
    """`ownwords.reports.report.write_report`. Raises NoPictures where it cannot be imported for want of matplotlib."""
    try:
        from ownwords.reports.report import write_report
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise
        raise NoPictures("a report has pictures by matplotlib: pip install 'ownwords[report]'") from error
    return write_report
