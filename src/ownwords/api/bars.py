"""Progress of long calls: quiet in a script unless asked for, a bar in a notebook."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm
from transformers.utils import logging

Tell = Callable[[int, int, str], None]
"""done, in all, and what else is to be said"""


@contextmanager
def bar(progress: bool | None, doing: str, unit: str) -> Iterator[Tell]:
    """The function that a long call tells its state to. `progress`: whether it is shown; None: in a notebook only.

    Other libraries' own bars and remarks stay away meanwhile: they are about things that nobody asked for.
    """
    shown = in_notebook() if progress is None else progress
    loud, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with (
            warnings.catch_warnings(),
            tqdm(desc=doing, unit=f" {unit}", disable=not shown, file=sys.stdout if in_notebook() else None) as line,
        ):
            warnings.simplefilter("ignore", FutureWarning)

            def tell(done: int, total: int, said: str) -> None:
                line.total = total
                line.set_postfix_str(said, refresh=False)
                line.update(done - line.n)

            yield tell
    finally:
        logging.set_verbosity(level)
        if loud:
            logging.enable_progress_bar()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
