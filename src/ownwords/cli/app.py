"""The command line. Exit codes: 0 done, 2 the user's mistake, 130 interrupted with everything kept.

cyclopts, because one dataclass with documented fields is then the flags, the YAML keys, the help and the error
messages at once; heavy imports wait until a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Yaml
from rich.console import Console

app = App(
    name="ownwords",
    help="Reasoning traces in the student's own words: Reverse Speculative Decoding (arXiv 2509.22230) and around it.",
    help_flags=["--help", "-h"],
    result_action="return_value",
)
app.command("ownwords.cli.generate:generate")
app.command("ownwords.cli.pilot:pilot")
app.command("ownwords.cli.look:show")
app.command("ownwords.cli.look:export")
app.command("ownwords.cli.report:report")
app.command("ownwords.cli.train:train")
app.command("ownwords.cli.train:merge")
app.command("ownwords.cli.demo:demo")
app.command("ownwords.cli.evaluate:evaluate", name="eval")
app.command("ownwords.cli.evaluate:compare")
app.command("ownwords.cli.evaluate:check_references")
app.command("ownwords.cli.score:score")
app.command("ownwords.cli.score:compare_teachers")
app.command("ownwords.cli.select:select")
app.command("ownwords.cli.select:analyse")
world = App(name="world", help="The small teacher and student that ship with the package.")
world.command("ownwords.cli.world:train")
world.command("ownwords.cli.world:measure")
app.command(world)

USER_ERROR, INTERRUPTED = 2, 130


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(help="a YAML file with options; flags win over it")] = None,
) -> int | None:
    if config and not config.is_file():
        raise ValueError(f"--config {config}: no such file, expected a YAML file with options")
    app.config = (Yaml(config, must_exist=True, use_commands_as_keys=False),) if config else ()
    try:
        return app(tokens, exit_on_error=False, print_error=False)
    finally:  # a second command of this process reads another file, or none
        app.config = ()


def main() -> None:
    """The console script."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        code = app.meta(sys.argv[1:], exit_on_error=False, print_error=False) or 0
    except (CycloptsError, ValueError) as error:
        errors.print("error:", style="bold red", end=" ")
        errors.print(" ".join(str(error).split()), markup=False)
        code = USER_ERROR
    except KeyboardInterrupt:
        errors.print("interrupted", style="yellow")
        code = INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
