"""What is told of a run while it goes on: an estimate that is there from the first block on, and comes to be true."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from ownwords.cli.progress import Rate
from ownwords.cli.watch import Watch
from ownwords.generation.progress import InFlight, Progress, remaining, survival
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.traces.store import Store

MOST = 300
LENGTHS = {
    "alike": lambda rng, n: rng.normal(0.2 * MOST, 0.03 * MOST, n),
    "skewed": lambda rng, n: rng.lognormal(np.log(0.1 * MOST), 0.7, n),
    "memoryless": lambda rng, n: rng.exponential(0.2 * MOST, n),
    "two in five cut off": lambda rng, n: np.where(rng.random(n) < 0.4, MOST, rng.normal(0.3 * MOST, 0.1 * MOST, n)),
}


def drawn(shape: str, n: int, seed: int) -> np.ndarray:
    """Tokens of n attempts."""
    return np.clip(LENGTHS[shape](np.random.default_rng(seed), n), 10, MOST).astype(int)


def simulate(lengths: np.ndarray, slots: int, most: int, seconds) -> list[tuple[float, float, bool]]:
    """(now, seconds that are left by the estimate, whether that is an upper bound) after each block of a run in which
    `slots` attempts of these lengths are in flight at once and a block of `rows` writes one to five tokens to each in
    `seconds(rows)`."""
    now, rng = [0.0], np.random.default_rng(1)
    rate = Rate(lambda: now[0])
    state = Progress(0, len(lengths), 0, 1, most)
    assert rate.eta(state) is None
    waiting, flying, told = list(lengths), [], []
    while waiting or flying:
        while waiting and len(flying) < slots:
            flying.append([waiting.pop(0), 0])
        rows = len(flying)
        for one in flying:
            one[1] = min(one[0], one[1] + rng.integers(1, 6))
        now[0] += seconds(rows)
        ended = [one for one in flying if one[0] == one[1]]
        flying = [one for one in flying if one[0] > one[1]]
        state.lengths += [one[0] for one in ended]
        state.tokens = sum(state.lengths) + sum(one[1] for one in flying)
        state.made, state.left, state.waiting = len(state.lengths), len(waiting) + len(flying), len(waiting)
        state.flying, state.ended = ([in_flight(one[1]) for one in some] for some in (flying, ended))
        rate.tell(state)
        told.append((now[0], *rate.eta(state)))
    return told


def in_flight(tokens: int, source: int = TEACHER) -> InFlight:
    return InFlight("key", np.zeros(tokens, int), np.full(tokens, source))


@pytest.mark.parametrize("shape", LENGTHS)
@pytest.mark.parametrize(("attempts", "off"), [(40, 0.3), (200, 0.1)])
@pytest.mark.parametrize("per_row", [0.0, 0.05])
def test_the_estimate_becomes_true(shape, attempts, off, per_row):
    """Eight rows, with blocks of 3 seconds that cost nothing more per row, or 5 % more. The first estimate is called an
    upper bound, and is one. From a quarter of the run on the mean estimate is right up to `off` of the whole: the costs
    change when rows run out, and 40 lengths do not say much of the 41st."""
    errors = []
    for seed in range(3):
        lengths = drawn(shape, attempts, seed)
        told = simulate(lengths, 8, MOST, lambda rows: 3.0 * (1 + per_row * rows))
        end = told[-1][0]
        assert told[0][2] and told[0][1] > end and told[-1][1:] == (0.0, False)
        assert not any(bound for now, _, bound in told if now > end / 2)
        errors += [(eta - (end - now)) / end for now, eta, _ in told if now > end / 4]
    assert abs(np.mean(errors)) < off


@pytest.mark.parametrize("shape", LENGTHS)
def test_the_end_that_is_foretold_does_not_run_away(shape):
    """From a quarter of the run on it is within a third of the true one, either way, at every moment."""
    told = simulate(drawn(shape, 200, 0), 8, MOST, lambda rows: 3.0)
    ends = np.array([now + eta for now, eta, _ in told if now > told[-1][0] / 4]) / told[-1][0]
    assert 0.75 < ends.min() and ends.max() < 1.33


@pytest.mark.parametrize("shape", LENGTHS)
def test_attempts_that_all_begin_at_once_have_a_bound_until_half_have_ended(shape):
    """Eight attempts in eight rows, as on a slow machine: there is an estimate from the first block on."""
    lengths = drawn(shape, 8, 0)
    told = simulate(lengths, 8, MOST, lambda rows: 100.0)
    assert told[0][2] and told[0][1] == pytest.approx(100 / 3 * MOST, rel=0.5)
    assert not told[-2][2] and told[-1][1] == 0


def test_shares_of_attempts_by_hand():
    """Two ended, with 2 and 4 tokens; one has 3 and goes on. At 2 one of three ends, at 4 the only one that is left."""
    assert survival([2, 4], [3], 6) == pytest.approx([1, 1, 2 / 3, 2 / 3, 0, 0])
    assert survival([], [3], 4) == pytest.approx([1, 1, 1, 1])
    # beyond the longest: one more than the shortest has ended, in three tokens more
    assert survival([2, 2], [5], 8) == pytest.approx([1, 1, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 9, 4 / 27])


def test_what_remains_by_hand():
    assert remaining([], [10, 4], 0, 2, 100) == (96, True)
    # two rows at any place of their attempts: the last has two thirds to come, the mean half
    assert remaining([], [10, 10], 2, 2, 100) == (pytest.approx(90 + 100 + 100 / 6, abs=1), True)
    assert remaining([5] * 50, [0], 0, 1, 100) == (pytest.approx(5), False)
    assert remaining([5] * 50, [1, 1], 8, 2, 100)[0] == pytest.approx(4 + 4 * 5 + 5 / 6, abs=0.5)
    assert remaining([5], [], 0, 4, 100) == (0, False)


def test_what_a_line_says():
    now = [100.0]
    rate = Rate(lambda: now[0])
    state = Progress(2, 8, 1, 5, 100, doing="reading prompts")
    rate.tell(state)
    assert rate.describe(state) == "2/10 attempts · reading prompts"
    state.doing, now[0] = "writing the first tokens", 110.0
    rate.tell(state)
    assert rate.describe(state) == "2/10 attempts · writing the first tokens"
    state.doing = ""
    source = np.array([FORCED, TEACHER, TEACHER, STUDENT, TEACHER])
    state.flying, state.tokens, state.waiting = [InFlight(("a", 0), np.arange(5), source)] * 2, 10, 6
    now[0] = 120.0
    rate.tell(state)
    # two rows with 95 left and three times 100 for each, the last of them a sixth of 100 late, at 2 seconds a token
    line = rate.describe(state)
    assert line.startswith("2/10 attempts · 10 tokens · 0.5/s · acceptance 75.0% · solved 1/5 · ETA at most 0:13:43")
    state.lengths = [5, 5, 5]
    assert "ETA 0:" in rate.describe(state)
    state.bound = True
    assert "ETA at most 0:" in rate.describe(state)
    state.doing = "reading prompts"
    assert "ETA at most 0:" in rate.describe(state), "no word of what is done in a moment"
    now[0] = 125.0
    assert rate.describe(state).endswith("solved 1/5 · reading prompts")
    rate.tell(Progress(0, 8, 0, 5, 100))
    assert rate.describe(Progress(0, 8, 0, 5, 100)) == "0/8 attempts"


HOSTILE = {1: "plain ", 2: "\x1b[2J\x1b]0;owned\x07", 3: "\u202etxet", 4: "line\n", 5: "\r\x00", 6: "é", 7: "\ufffd"}


def decode(ids) -> str:
    """6 is a character of two bytes, of which 7 alone is the first."""
    return "".join(HOSTILE[i] for i in ids).replace("\ufffdé", "ê")


def hostile(*ids: int, source: int = STUDENT, key=("p\x1b[1m", 0)) -> InFlight:
    return InFlight(key, np.array(ids), np.full(len(ids), source))


def test_an_attempt_is_watched_to_its_end_and_then_the_newest():
    watch, state = Watch(decode), Progress(0, 3, 0, 1, 100)
    state.flying = [hostile(1, 1, 1, key=("a", 0)), hostile(1, key=("b", 0))]
    watch.tell(state)
    assert watch.key == ("b", 0) and watch.text.plain == "plain "
    state.flying = [hostile(1, 1, 1, 1, key=("a", 0)), hostile(1, 4, 7, key=("b", 0))]
    watch.tell(state)
    assert watch.text.plain == "plain line⏎\n", "half a character is not shown"
    state.flying = [hostile(1, 1, 1, 1, key=("a", 0)), hostile(1, 4, 7, 6, key=("b", 0))]
    watch.tell(state)
    assert watch.text.plain == "plain line⏎\nê" and watch.whole is None
    state.flying, state.ended = (
        [hostile(1, 1, key=("a", 0)), hostile(key=("c", 1))],
        [hostile(1, 4, 7, 6, 1, key=("b", 0))],
    )
    watch.tell(state)
    assert watch.whole.plain == "problem b, attempt 0: 5 tokens, 5 by the student\nplain line⏎\nêplain \n"
    assert watch.key == ("c", 1) and watch.text.plain == ""
    state.flying, state.ended = [], [hostile(1, key=("c", 1))]
    watch.tell(state)
    assert watch.key is None and watch.shown is None


@pytest.mark.parametrize("width", [20, 80, 200])
def test_what_is_watched_cannot_steer_the_terminal(width):
    written = io.StringIO()
    console = Console(force_terminal=True, width=width, height=12, color_system="truecolor", file=written)
    watch, state = Watch(decode), Progress(0, 3, 0, 1, 100)
    state.flying = [hostile(*[1, 2, 3, 4, 5] * 50)]
    watch.tell(state)
    console.print(watch.view(console))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue()).splitlines()
    assert not re.search(r"[\x00-\x1f\x7f\u202e]", "".join(lines)) and "owned" in "".join(lines)
    assert len(lines) <= 12 and max(map(cell_len, lines)) <= width


CODES = r"\x1b\[[0-9;?]*[a-zA-Z]"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_watching_on_a_terminal_until_ctrl_c(tmp_path, columns, rows):
    """A terminal of this size: the text comes in the colours of those who wrote it, with the line of progress; Ctrl-C
    keeps what has ended, and the cursor is shown again."""
    run = tmp_path / "run"
    command = ["generate", "--run", str(run), "--problems", "world:size=100,seed=5", "--watch", "--batch", "4"]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "ownwords", *command], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    said, asked = b"", False
    while True:
        try:
            said += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if (
            not asked
            and b"48;2;245;182;66m" in said.partition(b"attempt")[2]
            and re.search(rb"[1-9]\d*/400 attempts", said)
        ):
            process.send_signal(signal.SIGINT)
            asked = True
    os.close(master)
    assert process.wait() == 130 and asked
    text = said.decode()
    assert "loading models" in text and "ETA" in text and "acceptance" in text and "tokens" in text
    assert "\x1b[2;3m<think>" in text, "what is forced is dim and slanted"
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is hidden"
    with Store.read(run) as store:
        assert f"interrupted: {len(store)} attempts are kept" in re.sub(CODES + r"|\r\n", "", text)
        assert len(store) > 0
    assert max(map(len, re.split(r"[\r\n]+", re.sub(CODES, "", text)))) <= columns


def test_watching_without_a_terminal(tmp_path):
    command = ["generate", "--run", "run", "--problems", "world:size=2,seed=5", "--attempts", "1", "--watch"]
    done = subprocess.run([sys.executable, "-m", "ownwords", *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0/2 attempts · starting the processes that check answers\n" in done.stdout
    assert "0/2 attempts · reading prompts\n" in done.stdout
    found = re.search(
        r"\nproblem (\w+), attempt 0: (\d+) tokens, (\d+) by the student\n(<think>.*?)\n\n", done.stdout, re.S
    )
    with Store.read(tmp_path / "run") as store:
        trace = next(iter(store.traces(found[1])))
    assert int(found[2]) == len(trace.token_ids) and int(found[3]) == (trace.source == STUDENT).sum()
    assert trace.answer_text.strip()[:10] in done.stdout and "\x1b" not in done.stdout
