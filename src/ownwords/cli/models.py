"""`ownwords models`: which architectures are served, tried one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command

if TYPE_CHECKING:
    from ownwords.engines.trial import Tried

PAGE = """\
# Architectures

`ownwords models --out docs/architectures.md` wrote this page, with transformers {transformers} and torch {torch}.
Each architecture was built in small, with random weights and windows of {window} tokens, and tried as any model is
before a run. Then it wrote {attempts} attempts in {slots} slots as teacher and as student of another of its kind,
without drafts and with {drafts}. It is **served** if drafts change no token, and if the recorded log-probabilities are
those of plain forward passes over single rows, without a cache. The last column has the largest difference, in nats, in
float32.

A model of your own is tried with its own weights, whether its architecture stands here or not.

{served} are served, {refused} are refused.

| architecture | in small | |
|---|---|---|
{rows}
"""


@command
def models(
    *names: str,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Try which architectures are served as teacher and as student, each in small with random weights.

    Parameters
    ----------
    names
        Architectures to try, by `model_type`. [default: all known ones]
    out
        Markdown file to write the table to.
    overwrite
        Replace the file of an earlier table.
    """
    from ownwords.engines.small import FAMILIES
    from ownwords.engines.trial import try_architecture
    from ownwords.io.files import write_file
    from ownwords.io.paths import check_output

    if unknown := [name for name in names if name not in FAMILIES]:
        raise ValueError(f"unknown architectures: {', '.join(unknown)}; expected some of {', '.join(FAMILIES)}")
    if out:
        check_output(out, overwrite, replace="overwrite")
    console, tried = Console(), []
    with console.status("building") as status:
        for name in names or FAMILIES:
            status.update(Text(name))
            tried.append(try_architecture(name))
    console.print(_table(tried))
    if out:
        write_file(out, page(tried))


def _table(tried: list[Tried]) -> Table:
    table = Table(title=_counted(tried), title_justify="left")
    for name in ("architecture", "in small", ""):
        table.add_column(name, overflow="fold")
    for one in tried:
        table.add_row(one.name, one.layers, Text(_verdict(one)))
    return table


def page(tried: list[Tried]) -> str:
    import torch
    import transformers

    from ownwords.engines.small import SIZES
    from ownwords.engines.trial import DRAFTS, PROMPTS, SLOTS

    served = sum(not one.refused for one in tried)
    return PAGE.format(
        transformers=transformers.__version__,
        torch=torch.__version__.partition("+")[0],
        window=SIZES["sliding_window"],
        attempts=len(PROMPTS),
        slots=SLOTS,
        drafts=DRAFTS,
        served=served,
        refused=len(tried) - served,
        rows="\n".join(f"| {one.name} | {one.layers} | {_verdict(one)} |" for one in tried),
    )


def _counted(tried: list[Tried]) -> str:
    return f"{sum(not one.refused for one in tried)} of {len(tried)} architectures are served"


def _verdict(one: Tried) -> str:
    return f"refused: {one.refused}" if one.refused else f"served, {one.error:.0e} nats"
