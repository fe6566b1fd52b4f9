"""The command line. Exit codes: 0 done, 2 the user's mistake, 130 interrupted with everything kept.

cyclopts, because one dataclass with documented fields is then the flags, the YAML keys, the help and the error
messages at once; heavy imports wait until a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict

from ownwords.cli.console import Console
from ownwords.cli.flags import config_of, flag
from ownwords.cli.help import Formatter, described
from ownwords.configuration import FieldError
from ownwords.io.paths import in_words
from ownwords.io.process import INTERRUPTED, interrupted, stop_hearing, unprinted

app = App(
    name="ownwords",
    help="Reasoning traces in the student's own words: Reverse Speculative Decoding (arXiv 2509.22230) and around it.",
    help_flags=["--help", "-h"],
    help_format="plaintext",  # <think> is no tag, and 2*3*4 not printed slanted
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(json_list=False, json_dict=False, negative=""),  # [x] is a name
    help_formatter=Formatter(),
)
# A command is imported when it runs; what the list of commands says of it is read from its file.
for number, command in enumerate(
    (
        "demo:demo", "pilot:pilot", "generate:generate", "look:show", "report:report", "look:export", "score:score",
        "score:compare_teachers", "select:select", "select:analyse", "train:train", "train:merge", "evaluate:evaluate",
        "evaluate:compare", "study:study", "judge:judge", "evaluate:check_references", "models:models", "serve:serve",
        "doctor:doctor",
    )
):  # fmt: skip
    module, _, function = command.partition(":")
    name = "eval" if function == "evaluate" else function.replace("_", "-")
    app.command(f"ownwords.cli.{command}", name=name, help=described(module, function), sort_key=number)
world = App(name="world", help="Train and measure the two small models that ship with the package.", sort_key=99)
world.command("ownwords.cli.world:train", help=described("world", "train"))
world.command("ownwords.cli.world:measure", help=described("world", "measure"))
app.command(world)

USER_ERROR = 2
LONGEST = 2000
"""characters of a message"""

app.meta.suppress_keyboard_interrupt = False  # it would exit without a word


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(help="YAML file with options; those on the command line win.")] = None,
) -> int | None:
    if config:
        from ownwords.cli.options import read_options

        _, apps, _ = app.parse_commands(tokens)
        kind = config_of(apps[-1].default_command) if apps[-1].default_command else None
        app.config = (Dict(read_options(config, kind), source=str(config), use_commands_as_keys=False),)
    try:
        return app(tokens, exit_on_error=False, print_error=False)
    finally:  # a second command of this process reads another file, or none
        app.config = ()


def main() -> None:
    """Run the command of `sys.argv` and exit. What a person can mend is one line; anything else is a bug of ours, and
    stays a traceback."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"
    try:
        code = app.meta(sys.argv[1:], exit_on_error=False, print_error=False) or 0
        if not code and (why := unprinted()):
            raise ValueError(why)
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) or interrupted():
            code = _say("interrupted", "yellow", INTERRUPTED)
        elif isinstance(error, FieldError):
            code = _say("error:", "bold red", USER_ERROR, error.worded(flag))
        elif message := str(error) if isinstance(error, CycloptsError) else in_words(error):
            code = _say("error:", "bold red", USER_ERROR, message)
        else:
            raise
    stop_hearing(code)
    sys.exit(code)


def _say(word: str, style: str, code: int, message: str = "") -> int:
    """Print one line to stderr; `code`."""
    line = " ".join(message.split())
    if len(line) > LONGEST:  # it quotes something long
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    errors = Console(stderr=True, soft_wrap=True)
    errors.print(word, style=style, end=" " if line else "\n")
    if line:
        errors.print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))
    return code
