"""The script behind docs/real_models.md, on the small world: its sets, and that its figures are the package's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import real_pair
from real import kinds, measures, page, speed, studies

from ownwords.generation.config import GenerateConfig
from ownwords.rsd.columns import FORCED, STUDENT
from ownwords.suitability.scores import set_rsr
from ownwords.traces.store import Store
from ownwords.traces.summary import summarise


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The sets of the first study, of eight sums."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "gsm8k").mkdir()
    rows = [{"question": f"{n} + {3 * n} - 2 =", "answer": f"add up\n#### {4 * n - 2}"} for n in range(3, 11)]
    (folder / "gsm8k" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--data", folder, "--study", "gsm8k", "--dtype", "float32", "--max-tokens", "120", "--batch", "8"]
    given += ["--problems", "8"]
    for _ in range(2):  # the second start finds everything made
        assert real_pair.main(["make", "--runs", str(folder / "runs"), *map(str, given)]) == 0
    return folder / "runs"


def test_a_set_is_what_generate_makes(runs):
    with Store.read(runs / "gsm8k" / "student") as store:
        config = store.config
    assert (config["gate"], config["teacher"], config["attempts"]) == ("never", "none", 1)
    line = studies.command(GenerateConfig.of(run=runs, gate="never", teacher="none", problems="a b", batch=8))
    assert line == f"ownwords generate --run {runs} --problems 'a b' --teacher none --gate never --batch 8"


def test_figures_are_those_of_the_summary(runs):
    for name in ("rsd", "teacher", "student"):
        with Store.read(runs / "gsm8k" / name) as store:
            traces, summary = list(store.traces()), summarise(store.traces())
        assert summary.attempts == summary.problems == 8
        both = np.stack([*measures.sums(traces).values()])
        found = measures.intervals(both[:, 0], both[:, 1], page.SHARES)
        of = {measure.label: interval for measure, interval in zip(measures.MEASURES, found, strict=True)}
        ranks, surprisals = (
            np.array([f(t)[t.source != FORCED].mean(dtype=float) for t in traces])
            for f in (lambda t: np.minimum(t.student_rank, 100), lambda t: -t.student_logprob)
        )
        for label, expected in {
            "attempts verified correct": summary.verified,
            "mean length, tokens": summary.mean_length,
            "acceptance: tokens by the teacher": summary.acceptance,
            "mean pass mass": summary.pass_mass,
            "tokens below 1 % under the student": summary.implausible,
            "mean student surprisal, nats": summary.mean_surprisal,
            "Rank-Surprisal Ratio under the student": set_rsr(ranks, surprisals),
        }.items():
            one = of[label]
            assert one.value == pytest.approx(expected, rel=1e-5, nan_ok=True), (name, label)
            assert np.isnan(one.value) or one.low <= one.value <= one.high


def test_refusals_are_counted_once(runs):
    found, _ = kinds.refused(runs / "gsm8k" / "rsd")
    with Store.read(runs / "gsm8k" / "rsd") as store:
        refusals = sum(int(((t.source == STUDENT) & (t.refused_id >= 0)).sum()) for t in store.traces())
    assert refusals > 0 and sum(kind.number for kind in found[:-1]) == refusals
    assert found[-1].name == kinds.CLAIMED
    assert sum(kind.share.value for kind in found[:-1]) == pytest.approx(1)


def test_the_page_has_a_table_of_every_part(runs, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text("before\n" + "\nwhat was there\n".join(page.MARKS) + "\nafter\n")
    assert real_pair.main(["table", "--runs", str(runs), "--page", str(path)]) == 0
    written, told = path.read_text(), capsys.readouterr().out
    assert told.strip() in written and "what was there" not in written
    assert written.startswith("before\n") and written.endswith("after\n")
    for part in ("### gsm8k: 8 problems", "RSD - student alone", "### Refused in gsm8k", "### Sets under world"):
        assert part in told


def test_half_a_set_is_left_out(runs, tmp_path):
    half = tmp_path / "gsm8k" / "rsd"
    with Store.read(runs / "gsm8k" / "rsd") as whole, Store.open(half, whole.config, whole.versions) as store:
        problems = whole.problems()
        for trace in list(whole.traces())[:5]:
            store.add(problems[trace.problem_id], trace)
    assert [*page.tables(tmp_path)] == ["RSD of gsm8k: 5 of 8 attempts are made, so it is left out."]


def test_intervals_know_what_none_of_a_few_can_rule_out():
    ones = np.ones((20, 1))
    (share,) = measures.intervals(0 * ones, ones, [True])
    assert (share.value, share.low) == (0, 0) and share.high == pytest.approx(1 - 0.025 ** (1 / 20))
    (number,) = measures.intervals(3 * ones, ones, [False])
    assert number.low == number.high == 3
    sums = measures.Sums(np.arange(20.0)[:, None], ones)
    (same,) = measures.differences(sums, sums)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    (moved,) = measures.differences(measures.Sums(sums.tops_PM + 1, ones), sums)
    assert (moved.value, moved.low, moved.high) == pytest.approx((1, 1, 1))


def test_speed_counts_what_was_written(runs, tmp_path):
    with Store.read(runs / "gsm8k" / "rsd") as store:
        made = store.config
    config = GenerateConfig.of(run=runs / "gsm8k" / "rsd", problems=made["problems"], max_tokens=made["max_tokens"])
    lines = list(speed.measure(config, [2], tokens=8, repetitions=2))
    assert [(line.batch, line.arm) for line in lines] == [(2, "none"), (2, "auto")]
    plain, auto = lines
    assert plain.per_block == 1 and np.isnan(plain.kept) and plain.ratio.value == 1
    assert 1 < auto.per_block <= 8 and 0 < auto.kept <= 1
    assert all(0 < line.added.value < 1 for line in lines)
    speed.write(tmp_path / "speed-1.json", "here", lines)
    assert "### Speed: here" in "\n".join(page.speeds(tmp_path))
