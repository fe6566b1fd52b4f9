"""The report as a person meets it: opened in Chromium, clicked through, in the dark, on a phone, with hostile text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import make
from transformers import AutoTokenizer

from ownwords.models.load import model_path
from ownwords.records.problem import Problem
from ownwords.records.trace import Trace
from ownwords.reports.report import write_report
from ownwords.rsd.columns import COLUMNS, STUDENT
from ownwords.suitability.scoring import score
from ownwords.suitability.stored import Scores
from ownwords.suitability.survey import ScoreConfig
from ownwords.traces.spans import printable
from ownwords.traces.store import Store

chromium = pytest.importorskip("chromium", reason="selenium is not installed: pip install 'ownwords[dev]'")
if not (chromium.BROWSER and chromium.DRIVER):
    pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver", allow_module_level=True)

from report_opening import fill  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

PROBLEMS, ATTEMPTS = 1000, 4
SLOWEST = 20.0
"""seconds to open: what is measured is in docs/report.md, this is for machines that do much else"""


@pytest.fixture(scope="module")
def driver() -> Iterator:
    with chromium.chromium() as driver:
        yield driver


class Page:
    """An opened report."""

    def __init__(self, driver, path: Path, width: int = 1400, height: int = 900, scheme: str = "light") -> None:
        driver.get_log("browser")  # what earlier pages said
        chromium.show_as(driver, width, height, scheme)
        self.driver = driver
        self.seconds = chromium.open_page(driver, path)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str):
        [found] = self.all(selector)
        return found

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def drawn(self) -> None:
        """Wait until the traces of the chosen problem are there: unpacking takes a turn of the event loop."""
        self.wait(lambda: self.run("return Number(columns.dataset.drawn) === asked"))

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 30, poll_frequency=0.01).until(lambda driver: condition())

    def text(self, selector: str) -> str:
        """The text as it is in the document, whatever is scrolled out of sight."""
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def pick(self, selector: str, label: str) -> None:
        Select(self.one(selector)).select_by_visible_text(label)
        self.drawn()

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()
        self.drawn()

    def values(self) -> dict[str, str]:
        terms = self.run("return [...document.querySelectorAll('#values:not([hidden]) > *')].map(e => e.textContent)")
        return dict(zip(terms[::2], terms[1::2], strict=True))

    def assert_quiet(self) -> None:
        assert self.driver.get_log("browser") == []


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("big")
    run = fill(folder / "big", PROBLEMS, ATTEMPTS)
    write_report([run], folder / "report.html")
    return run, folder / "report.html"


@pytest.fixture(scope="module")
def arms(tmp_path_factory) -> tuple[dict[str, list[Trace]], Path]:
    """A small real run with its controls, and their report."""
    folder = tmp_path_factory.mktemp("arms")
    student = model_path("world", "student")
    teacher = model_path("world", "teacher")
    settings = dict(
        teacher=teacher if Path(teacher).is_dir() else student, problems="world:size=3", attempts=2, max_tokens=60
    )
    gates = {"rsd": "threshold:0.8", "teacher": "always", "student": "never"}
    traces = {arm: make(folder / arm, gate=gate, seed=3, **settings)[1] for arm, gate in gates.items()}
    write_report([folder / arm for arm in gates], folder / "report.html")
    return traces, folder / "report.html"


def test_a_big_run_opens_quickly_and_is_searched_and_filtered(big, driver, capsys):
    run, path = big
    with Store.read(run) as store:
        verdicts, problems = store.verdicts(), store.problems()
    page = Page(driver, path)
    with capsys.disabled():
        print(f"\n{PROBLEMS} problems x {ATTEMPTS} traces: opened in {page.seconds:.2f} s")
    assert page.seconds < SLOWEST or Page(driver, path).seconds < SLOWEST
    assert page.text("#count") == "1,000 of 1,000 problems"
    assert page.text("#sample") == "Every problem with all its traces."
    assert len(page.all(".row")) < 50, "rows are drawn as they come into sight"

    unparsable = [i for i, by_attempt in verdicts.items() if "unparsable" in by_attempt.values()]
    page.pick("#verdict", "unparsable")
    assert page.text("#count") == f"{len(unparsable)} of 1,000 problems"
    assert page.text(".attempt[aria-pressed=true]").startswith("?"), "opens an attempt that the filter asks for"

    page.pick("#verdict", "any verdict")
    some = [*problems.values()][700]
    page.press("/")
    page.press(some.id)
    assert page.text("#count") == "1 of 1,000 problems"
    assert page.text("#question") == some.question.strip()
    page.press(Keys.BACKSPACE * len(some.id), "no such words")
    assert page.text("#count") == "0 of 1,000 problems" and page.text("#question") == "No problem passes the filters."
    page.assert_quiet()


def test_keys_walk_through_problems_and_tokens(big, driver):
    run, path = big
    with Store.read(run) as store:
        problems = [*store.problems().values()]
        [first, *_] = store.traces(problems[2].id)
    page = Page(driver, path)
    page.press("j", "j", "j", "k")
    assert page.text("#question") == problems[2].question.strip()
    for at in range(5):
        page.press(Keys.ARROW_RIGHT)
        values = page.values()
        if at >= 2:  # the first two are forced
            probability, rank = values["student p"].split(", rank ")
            assert rank == f"{first.student_rank[at]:,}" and says(probability, np.exp(first.student_logprob[at]))
            assert says(values["teacher p"], np.exp(first.teacher_logprob[at]))
    assert "number 5" in values["token"]
    page.press(Keys.ESCAPE)
    assert page.values() == {}
    page.press("c")
    assert page.run("return columns.dataset.colour") == "surprisal"
    page.run("list.scrollTop = 1e9")
    page.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert page.text(".row:last-child").endswith("/4"), "the last row is drawn"
    assert page.run("return rows.lastElementChild.id") == "row999"
    page.assert_quiet()


def test_the_arms_side_by_side_show_every_token_and_its_values(arms, driver):
    traces, path = arms
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    page = Page(driver, path)
    assert page.run("return report.sets.map(set => set.name)") == ["rsd", "teacher", "student"]
    for place in range(len(page.run("return listed"))):
        page.run("choose(arguments[0])", place)
        page.drawn()
        problem = page.run("return report.problems[listed[chosen]].id")
        for column, arm in enumerate(traces, start=1):
            attempts = [trace for trace in traces[arm] if trace.problem_id == problem]
            for attempt, trace in enumerate(attempts):
                page.run(f"document.querySelectorAll('.column:nth-child({column}) .attempt')[{attempt}].click()")
                shown = page.text(f".column:nth-child({column}) .trace").replace("⏎", "")
                assert shown == printable(tokenizer.decode(trace.token_ids.tolist()))
                written = page.run(f"return document.querySelectorAll('.column:nth-child({column}) .student').length")
                assert written == (trace.source == STUDENT).sum()
    # the pointer over a token that the student wrote because the gate refused another
    trace = next(t for t in traces["rsd"] if ((t.source == STUDENT) & (t.refused_id >= 0)).any())
    page.press("/")
    page.press(trace.problem_id)
    page.run(f"document.querySelectorAll('.column:nth-child(1) .attempt')[{trace.attempt}].click()")
    at = int(np.flatnonzero((trace.source == STUDENT) & (trace.refused_id >= 0))[0])
    token = page.all(".column:nth-child(1) .t")[at]
    page.run("arguments[0].scrollIntoView({block: 'center'})", token)
    ActionChains(page.driver).move_to_element(token).perform()
    values = page.values()
    assert values["written by"] == "the student"
    probability, rank = values["student p"].split(", rank ")
    assert rank == f"{trace.student_rank[at]:,}" and says(probability, np.exp(trace.student_logprob[at]))
    assert says(values["teacher p"], np.exp(trace.teacher_logprob[at]))
    assert says(values["pass mass"], trace.pass_mass[at])
    refused = printable(tokenizer.decode([trace.refused_id[at]])).replace("\n", "⏎")
    said, proposed = values["refused"].split(", proposed with ")
    assert said == f"“{refused}”" and says(proposed, trace.refused_prob[at])
    page.assert_quiet()


def says(text: str, p: float) -> bool:
    """Whether the page writes this probability: rounded as decode.js does, of a log-probability rounded to 0.001."""
    seen = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    rounding = 0.0005 if p >= 0.01 else 0.00005 if p >= 0.0001 else 0.05 * p
    return abs(seen - p) <= 1.01 * rounding + 0.001 * p


def test_what_deserves_a_look_leads_to_it(arms, driver):
    traces, path = arms
    unsolved = {t.problem_id for t in traces["rsd"]} - {t.problem_id for t in traces["rsd"] if t.verdict == "correct"}
    page = Page(driver, path)
    titles = page.run("return report.findings.map(finding => finding.title)")
    title = "never solved by rsd" if unsolved else "correct but surprising: rsd"
    page.all(".finding")[titles.index(title)].click()
    page.drawn()
    expected = len(unsolved) or len({t.problem_id for t in traces["rsd"] if t.verdict == "correct"})
    assert page.text("#count") == f"{expected} of 3 problems"
    assert page.run("return document.activeElement.id") == "list"
    assert all(img.get_property("naturalWidth") > 0 and img.get_attribute("alt") for img in page.all("#pictures img"))
    page.assert_quiet()


def test_dark_and_on_a_phone(arms, driver):
    page = Page(driver, arms[1])
    background = "return getComputedStyle(document.body).backgroundColor"
    picture = "return document.images[0].currentSrc"
    light = page.run(background), page.run(picture)
    chromium.show_as(driver, 1400, 900, "dark")
    page.wait(lambda: page.run(picture) != light[1])  # the pictures change as well
    assert brightness(light[0]) > 200 and brightness(page.run(background)) < 60
    wide = page.run("return [...columns.children].map(column => column.getBoundingClientRect().top)")
    assert len({*wide}) == 1, "side by side"
    chromium.show_as(driver, 375, 700)
    assert page.run("return document.documentElement.scrollWidth") <= 375, "nothing is wider than the screen"
    narrow = page.run("return [...columns.children].map(column => column.getBoundingClientRect().top)")
    assert sorted({*narrow}) == narrow and len({*narrow}) == 3, "one above the other"
    box = page.run("showValues(document.querySelector('.trace .t')); return values.getBoundingClientRect().toJSON()")
    assert box["left"] >= 0 and box["right"] <= 375
    page.assert_quiet()


def brightness(colour: str) -> float:
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3


HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "<!--<script>",
    "${1}$data $title",
    "\u202egnirts desrever\u2066\u200f",
    "\x1b[2J\x00\u2028\u2029\u0085",
    "&lt;b&gt;&amp;",
]
HUGE = "x" * 2**20


def test_hostile_text_is_text(tmp_path, driver):
    """As tokens, as refused tokens, as questions, answers, settings and names: everything arrives as it is, visibly."""
    tokenizer = AutoTokenizer.from_pretrained(model_path("world", "student"))
    tokenizer.add_tokens([*HOSTILE, HUGE])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    hostile_ids = tokenizer.convert_tokens_to_ids([*HOSTILE, HUGE])
    emoji = "\U0001f9d1\u200d\U0001f680 \u65e5\u672c"
    ids = [*hostile_ids, *tokenizer(emoji, add_special_tokens=False)["input_ids"]]
    assert len(ids) > len(hostile_ids) + len(emoji), "characters of several tokens"
    columns = {name: np.zeros(len(ids)) for name in COLUMNS}
    columns["refused_id"] = np.full(len(ids), hostile_ids[0])
    columns["teacher_logprob"] = np.full(len(ids), -np.inf)
    columns["pass_mass"] = np.full(len(ids), np.nan)
    columns["student_logprob"] = np.full(len(ids), -7.0)
    question = "\ud800" + "\n".join(HOSTILE)
    problem = Problem(
        question.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), HOSTILE[0], source=HOSTILE[1]
    )
    config = {"student": str(tmp_path / "tokenizer"), "gate": "threshold:0.01", HOSTILE[0]: "\ud800" + HOSTILE[1]}
    run = tmp_path / "<b>&amp;run"
    with Store.open(run, config, {"torch": HOSTILE[0]}) as store:
        store.add(
            problem,
            Trace(
                problem_id=problem.id, attempt=0, prompt_ids=np.zeros(1), **{**columns, "token_ids": np.array(ids)},
                finish_reason="length", verdict="unparsable", answer=HOSTILE[1],
            ),
        )  # fmt: skip
    write_report([run], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 2**20, "a huge token is cut"
    assert "://" not in (tmp_path / "report.html").read_text(), "nothing is loaded from anywhere"

    page = Page(driver, tmp_path / "report.html")
    assert page.run("return window.pwned") is None
    assert len(page.all("script")) == 2 and page.all(".trace *:not(.t)") == [] and page.all("#title *") == []
    spans = page.run("return [...document.querySelectorAll('.trace .t')].map(span => span.textContent)")
    assert spans[: len(HOSTILE)] == [printable(text) for text in HOSTILE]
    assert spans[len(HOSTILE)] == "x" * 2000 + "… (1,048,576 characters)"
    assert "".join(spans[len(HOSTILE) + 1 :]) == printable(emoji)
    assert "\ufffd" not in "".join(spans[len(HOSTILE) + 1 :])
    assert page.text("#question") == printable(problem.question.strip())
    assert page.text("#title") == "<b>&amp;run" and page.driver.title == "<b>&amp;run · ownwords report"
    assert HOSTILE[0] in page.text("#config") and "\ufffd" + HOSTILE[1] in page.text("#config")
    ActionChains(driver).move_to_element(page.all(".trace .t")[0]).perform()
    values = page.values()
    assert values["refused"].startswith(f"“{HOSTILE[0]}”") and values["teacher p"] == "0"
    assert values["student p"] == "0.09%, rank 0" and "pass mass" not in values
    page.assert_quiet()


def test_a_set_that_was_scored(tmp_path, driver, arms):
    """Tokens are coloured by surprisal, and the writer is said to be unknown: nobody passes for the teacher."""
    run = arms[1].parent / "teacher"
    score(ScoreConfig(traces=str(run), student="world", out=tmp_path / "scores"), {"ownwords": "0"})
    scores = Scores.read(tmp_path / "scores")
    write_report([tmp_path / "scores", run], tmp_path / "report.html")
    page = Page(driver, tmp_path / "report.html")
    overview = dict((label, cells) for label, *cells in page.run("return report.overview"))
    assert overview["Rank-Surprisal Ratio"] == [f"{scores.summary['all']['rsr']:.3f}", "–"]
    assert overview["acceptance"][0] == "–" and overview["acceptance"][1] == "100.00%"
    scored, made = overview["mean student surprisal, nats"]
    assert float(scored) == pytest.approx(float(made), abs=0.002)
    page.pick("#colour", "surprisal under the student")
    traces = [page.text(f".column:nth-child({column}) .trace") for column in (1, 2)]
    assert traces[0] == traces[1], "the same traces with the same colours, whoever told the surprisal"
    levels = "return [...document.querySelectorAll('.column:nth-child(%d) .t')].map(span => span.className)"
    assert [name.replace(" unknown", "") for name in page.run(levels % 1)] == page.run(levels % 2)
    at = next(i for i, row in enumerate(page.run(levels % 1)) if "forced" not in row)
    ActionChains(driver).move_to_element(page.all(".column:nth-child(1) .t")[at]).perform()
    values = page.values()
    assert {*values} == {"token", "written by", "student p"} and values["written by"] == "unknown writer"
    page.pick("#colour", "who wrote it")
    assert page.run("return document.querySelectorAll('.column:nth-child(1) .t:not(.forced, .unknown)').length") == 0
    assert [sample.text for sample in page.all("#legend span")] == ["teacher", "student", "forced", "unknown writer"]
    page.assert_quiet()
