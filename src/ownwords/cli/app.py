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
from cyclopts.config import Dict

from ownwords.cli.console import Console
from ownwords.process import interrupted, stop_hearing, unprinted
from ownwords.traces.files import in_words

app = App(
    name="ownwords",
    help="Reasoning traces in the student's own words: Reverse Speculative Decoding (arXiv 2509.22230) and around it.",
    help_flags=["--help", "-h"],
    help_format="plaintext",  # <think> is no tag, and 2*3*4 not printed slanted
    result_action="return_value",
)
# A command is imported when it runs, so the line that the list of commands has for it stands here.
for function, line in (
    ("demo:demo", "See all of it work on the two small models that ship with the package: offline, in minutes"),
    ("pilot:pilot", "Try a few gates on a few problems, and forecast the whole run from it"),
    ("generate:generate", "Make traces: a teacher proposes each token, the student accepts it or writes its own"),
    ("look:show", "Show a trace, coloured by who wrote each token"),
    ("report:report", "Write an HTML page about one run or several: figures, pictures and every token"),
    ("look:export", "Write a run as Parquet and JSONL, ready to train on, with a data card"),
    ("score:score", "Tell how well any traces suit a student, before anything is trained"),
    ("score:compare_teachers", "Rank teachers for a student by some traces of each"),
    ("select:select", "Choose among scored traces those that suit the student best"),
    ("select:analyse", "Find out which tokens a student finds odd, and where they stand"),
    ("train:train", "Fine-tune a student on traces"),
    ("train:merge", "Make one model of a LoRA adapter and its student"),
    ("evaluate:evaluate", "Evaluate a model on a benchmark, with intervals"),
    ("evaluate:compare", "Compare two evaluations problem by problem"),
    ("evaluate:check_references", "Find the problems of a benchmark whose reference answer no model can match"),
):
    name = "eval" if function == "evaluate:evaluate" else function.partition(":")[2].replace("_", "-")
    app.command(f"ownwords.cli.{function}", name=name, help=line, sort_key=len(list(app)))
world = App(name="world", help="Train and measure the two small models that ship with the package", sort_key=99)
world.command("ownwords.cli.world:train", help="Train one of the two from scratch")
world.command("ownwords.cli.world:measure", help="Measure how good a pair is, and how far apart its styles are")
app.command(world)

USER_ERROR, INTERRUPTED = 2, 130


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(help="a YAML file with options; flags win over it")] = None,
) -> int | None:
    if config:
        from ownwords.cli.options import read_options

        app.config = (Dict(read_options(config), source=str(config), use_commands_as_keys=False),)
    try:
        return app(tokens, exit_on_error=False, print_error=False)
    finally:  # a second command of this process reads another file, or none
        app.config = ()


def main() -> None:
    """Run the command of `sys.argv` and exit. What a person can mend is one line; anything else is a bug of ours, and
    stays a traceback."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        code = app.meta(sys.argv[1:], exit_on_error=False, print_error=False) or 0
        if not code and (why := unprinted()):
            raise ValueError(why)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or interrupted():
            code = _say("interrupted", "yellow", INTERRUPTED)
        elif message := str(error) if isinstance(error, CycloptsError) else in_words(error):
            code = _say("error:", "bold red", USER_ERROR, message)
        else:
            raise
    stop_hearing()
    sys.exit(code)


def _say(word: str, style: str, code: int, message: str = "") -> int:
    """Print one line to stderr; `code`."""
    line = " ".join(message.split())
    errors = Console(stderr=True, soft_wrap=True)
    errors.print(word, style=style, end=" " if line else "\n")
    if line:
        errors.print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))
    return code
