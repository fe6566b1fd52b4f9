"""`ownwords show` and `ownwords export`: looking at a run, and taking it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.text import Text

from ownwords.cli.console import Console
from ownwords.cli.flags import command
from ownwords.numbers import Seed, Share, whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ownwords.records.trace import Trace
    from ownwords.traces.store import Store

SoftLayout = Literal["union", "trl", "axolotl", "distillkit"]
TEACHER_STYLE, STUDENT_STYLE, FORCED_STYLE = "default", "bold black on #f5b642", "dim italic"


@command
def show(
    run: Path,
    *,
    problem: str | None = None,
    attempt: Annotated[int | None, whole()] = None,
    svg: Path | None = None,
    width: Annotated[int | None, whole(10, 10000)] = None,
) -> None:
    """Show a trace, coloured by who wrote each token.

    Parameters
    ----------
    run
        Run directory.
    problem
        Id of the problem, or how it begins. [default: the first solved one]
    attempt
        Number of the attempt. [default: the shortest correct one, else the first]
    svg
        File to write the picture to as well.
    width
        Columns to write into. [default: the terminal's width]
    """
    from ownwords.io.files import write_file
    from ownwords.io.paths import check_output
    from ownwords.models.load import load_tokenizer
    from ownwords.traces.store import Store
    from ownwords.traces.summary import summarise

    if svg:
        check_output(svg, field="svg")
    console = Console(record=svg is not None, width=width)
    with Store.read(run) as store:
        trace = _choose(store, problem, attempt)
        question = store.problems()[trace.problem_id]
        tokenizer = load_tokenizer(store.config["student"], "student")
        from ownwords.traces.spans import printable

        console.print(Text(printable(question.question.strip()), style="bold"))
        console.print(_coloured(trace, tokenizer))
        console.print(_facts(store, trace))
        if problem is None:
            from ownwords.cli.tables import summary_table

            Console().print(summary_table({str(run): summarise(store.traces())}))
    if svg:
        # rich would have the picture fetch its font from the network; any monospaced one of the reader's will do
        plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        title = f"problem {trace.problem_id}, attempt {trace.attempt}"
        write_file(svg, console.export_svg(title=title, code_format=plain))


def _choose(store: Store, problem: str | None, attempt: int | None) -> Trace:
    verdicts = store.verdicts()
    if not verdicts:
        raise ValueError(f"{store.run_dir} holds no attempts yet: run ownwords generate --run {store.run_dir}")
    if problem is None:
        solved = [i for i, by_attempt in verdicts.items() if "correct" in by_attempt.values()]
        problem = (solved or list(verdicts))[0]
    matching = [i for i in verdicts if i.startswith(problem)]
    if len(matching) != 1:
        some = ", ".join(sorted(matching or verdicts)[:5])
        seen = f"{len(matching)} problems begin" if matching else "no problem begins"
        raise ValueError(f"{seen} with {problem!r} in {store.run_dir}: expected one id, such as {some}")
    traces = list(store.traces(matching[0]))
    if attempt is None:
        return min(traces, key=lambda t: (t.verdict != "correct", len(t.token_ids), t.attempt))
    found = [t for t in traces if t.attempt == attempt]
    if not found:
        made = ", ".join(str(t.attempt) for t in traces)
        raise ValueError(f"problem {matching[0]} has no attempt {attempt}: expected one of {made}")
    return found[0]


def _coloured(trace: Trace, tokenizer: PreTrainedTokenizerBase) -> Text:
    from ownwords.traces.spans import spans

    text, source = Text(), trace.column("source")
    for span in spans(trace, decoder(tokenizer)):
        text.append(*styled(span.text, int(source[span.start])))
    return text


def decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[int]], str]:
    """The text of ids, special tokens and spaces kept."""
    return lambda ids: str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def styled(text: str, source: int) -> tuple[str, str]:
    """A piece of a trace as it is shown, and in which style: by who wrote it."""
    from ownwords.rsd.columns import FORCED, STUDENT
    from ownwords.traces.spans import printable

    shown = printable(text)
    if source == STUDENT:  # a coloured line break cannot be seen; its symbol can
        return shown.replace("\n", "⏎\n"), STUDENT_STYLE
    return shown, FORCED_STYLE if source == FORCED else TEACHER_STYLE


def _facts(store: Store, trace: Trace) -> Text:
    from ownwords.rsd.columns import STUDENT

    free = trace.free
    text = Text("\n")
    text.append(" student ", style=STUDENT_STYLE)
    text.append(" the rest is the teacher's, accepted by the student; ", style="dim")
    text.append("forced", style=FORCED_STYLE)
    text.append(
        f"\ngate {store.config['gate']} · {int(free.sum())} tokens, "
        f"{int(trace.by(STUDENT).sum())} by the student · "
        f"mean student surprisal {trace.surprisal[free].mean() if free.any() else 0:.2f} nats · "
        f"{trace.finish_reason} · {trace.verdict}",
        style="dim",
    )
    return text


@command
def export(
    run: Path,
    *,
    out: Path | None = None,
    pick: Literal["shortest", "random", "surprisal", "all"] = "shortest",
    seed: Seed = 0,
    max_fallback: Share = 0.5,
    incorrect: bool = False,
    soft_targets: tuple[SoftLayout, ...] = (),
    overwrite: bool = False,
    salvage: bool = False,
    to_hub: str | None = None,
    licence: Annotated[str, Parameter(name="--license")] = "unknown",
) -> None:
    """Write a run as Parquet and JSONL, with a data card: problems, tokens, and input_ids + labels for TRL.

    The default selection is the paper's: correct, one closing tag, ended, fallback rate at most 50 %, the shortest.

    Parameters
    ----------
    run
        Run directory.
    out
        Directory to write to. [default: RUN/exports]
    pick
        Attempts to take per problem, among the eligible: the shortest, a random one, the one that surprises the student
        least, or all.
    seed
        Seed of a random pick.
    max_fallback
        Maximum share of tokens written by the student (except with the gate never).
    incorrect
        Take attempts whatever their verdict.
    soft_targets
        Tables of soft targets to write as well, by the trainer that reads them, or union for all that was kept.
    overwrite
        Replace files of an earlier export, here and on the hub.
    salvage
        Export what can still be read of a damaged run, and count what is lost; needs --out.
    to_hub
        Data set of the Hugging Face hub to upload to, as NAME/DATA (a new one is private).
    licence
        Licence that the data card states for the traces, as the hub spells it (apache-2.0, cc-by-4.0, other, ...).
    """
    console = Console()
    if salvage and (out is None or out.resolve().is_relative_to(run.resolve())):
        raise ValueError("--salvage leaves the run directory as it is: name another directory to write to with --out")
    out = out or run / "exports"
    if to_hub:
        from ownwords.sharing.upload import check_hub

        check_hub(to_hub, overwrite)
    with console.status("writing"), ExitStack() as closing:
        from ownwords.sharing.run_export import export_run

        source, title = run, to_hub or run.name
        if salvage:
            from ownwords.traces.salvage import salvage as save

            source = Path(closing.enter_context(TemporaryDirectory(prefix="ownwords-"))) / run.resolve().name
            saved = save(run, source)
            console.print(f"{saved.attempts} attempts could be read, at least {saved.lost} could not")
        written = export_run(
            source, out, pick, max_fallback, not incorrect, overwrite, seed, title, licence, soft_targets
        )
    widest = max(18, *map(len, written))
    for name, path in written.items():
        console.print(f"{name:{widest}} {path}")
    if to_hub:
        push_run(console, out, to_hub)


def push_run(console: Console, out: Path, repo: str) -> None:
    """Upload an export that has been written, and say where it is."""
    from ownwords.sharing.upload import push

    with console.status("uploading"):
        url = push(out, repo)
    console.print(f"uploaded to {url}")
