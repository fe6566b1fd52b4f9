"""`ownwords study` on the small world, in small: the command itself, in processes of its own."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ownwords.cli import app
from ownwords.studies.doing import do, figures_of
from ownwords.studies.graph import Step, in_order
from ownwords.studies.plan_of import cells_of
from ownwords.studies.pool import run_steps
from ownwords.studies.study_file import merged, read_study
from ownwords.training.config import DistillConfig
from ownwords.training.on_policy import distill, prompts_of

SMALL = {
    "about": "What a test asks.",
    "generate": {"problems": "world:size=12,seed=3,split=practice", "attempts": 2, "max_tokens": 120},
    "train": {"preset": "world", "steps": 3, "learning_rate": 1e-3},
    "eval": {"greedy": True, "max_tokens": 60},
    "seeds": [1, 2],
    "benchmarks": {"the same kind": {"benchmark": "world:size=9,seed=4,split=test"}},
    "control": "own rollouts",
    "arms": {"own rollouts": {"generate": {"gate": "never"}}, "RSD <b>": {}},
}


def main(*words: str) -> int:
    """The exit code of the command line, run in this process."""
    sys.argv = ["ownwords", *words]
    with pytest.raises(SystemExit) as ended:
        app.main()
    return ended.value.code


def write(path: Path, *changes: dict) -> Path:
    said = SMALL
    for change in changes:
        said = merged(said, change)
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path


def table(out: Path) -> list[dict[str, str]]:
    """What was found, without what depends on the machine."""
    rows = list(csv.DictReader((out / "study.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A study that was done in two processes and never disturbed."""
    folder = tmp_path_factory.mktemp("study")
    assert main("study", str(write(folder / "small.yaml")), "--out", str(folder / "out"), "--jobs", "2") == 0
    return folder / "out"


def test_a_study_is_told_in_tables_and_a_picture(whole):
    rows = {row["arm"]: row for row in table(whole)}
    assert [*rows] == ["base", "own rollouts", "RSD <b>"]
    assert rows["base"]["seeds"] == "1" and rows["base"]["to_base_value"] == ""
    for arm in ("own rollouts", "RSD <b>"):
        gained = float(rows[arm]["accuracy_value"]) - float(rows["base"]["accuracy_value"])
        assert float(rows[arm]["to_base_value"]) == pytest.approx(gained, abs=1e-5)
        assert float(rows[arm]["steps"]) == 3 and float(rows[arm]["written"]) > 100
        assert float(rows[arm]["to_base_half_width_problems"]) >= 0
    told = (whole / "study.md").read_text()
    assert (
        "What a test asks." in told and "| RSD <b> | 2 |" in told and "other training seeds and other problems" in told
    )
    page = (whole / "study.html").read_text()
    assert "RSD &lt;b&gt;" in page and "<b>" not in page and page.count("data:image/svg+xml") == 2
    assert (whole / "study.svg").read_text().startswith("<?xml")


def test_a_changed_arm_redoes_what_depends_on_it_and_nothing_else(whole, tmp_path):
    study = read_study(write(tmp_path / "small.yaml", {"arms": {"RSD <b>": {"train": {"learning_rate": 2e-3}}}}))
    steps = in_order(step for cell in cells_of(study) for step in cell.answers)
    owed = [step.kind for step in steps if figures_of(step, whole / "steps") is None]
    assert sorted(owed) == ["answers"] * 2 + ["training"] * 2  # of two seeds; traces, base and the other arm stand
    before = {path: path.stat().st_mtime_ns for path in whole.glob("steps/*/done.json")}
    done: list[str] = []
    state = run_steps(steps, whole / "steps", 1, lambda state, step: done.append(step.kind if step else "start"))
    assert done[0] == "start" and sorted(done[1:]) == sorted(owed) and not state.failed
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())

    more = read_study(write(tmp_path / "more.yaml", {"arms": {"one more": {"generate": {"gate": "always"}}}}))
    owed = [s for cell in cells_of(more) for s in in_order(cell.answers) if figures_of(s, whole / "steps") is None]
    assert {step.said.split(":")[0].split(",")[0] for step in owed} == {"one more"}


def test_a_study_that_was_killed_and_interrupted_goes_on(whole, tmp_path):
    """kill -9 of all of its processes at some moment after the first steps, then Ctrl-C; the tables are those of the
    one above."""
    file, out = write(tmp_path / "small.yaml"), tmp_path / "out"
    words = ["study", str(file), "--out", str(out), "--jobs", "2"]
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = {path: path.stat().st_mtime_ns for path in out.glob("steps/*/done.json")}
        process = subprocess.Popen(
            [sys.executable, "-m", "ownwords", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        deadline = time.monotonic() + 240
        while len([*out.glob("steps/*/done.json")]) < len(before) + 2:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == code, said
        assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert "the same command goes on" in " ".join(said.split())
    assert len([*out.glob("steps/*/done.json")]) < len([*whole.glob("steps/*/done.json")])
    assert main(*words) == 0
    assert table(out) == table(whole)


def test_an_arm_that_fails_is_named_and_the_others_are_measured(whole, tmp_path, capfd):
    """With another folder, so that it is made from the beginning: the steps that it shares are copied."""
    file = write(tmp_path / "small.yaml", {"arms": {"nothing": {"train": {"max_length": 3, "over_length": "drop"}}}})
    assert main("study", str(file), "--out", str(whole)) == 2
    said = " ".join(capfd.readouterr().out.split())
    assert "not done: nothing, seed 1: training: " in said and "no row to train on" in said
    rows = {row["arm"]: row for row in table(whole)}
    assert "no row to train on" in rows["nothing"]["failed"] and float(rows["own rollouts"]["accuracy_value"]) >= 0


def test_shared_problems_are_those_that_every_arm_has_solved(whole, tmp_path):
    study = read_study(write(tmp_path / "small.yaml", {"problems": ["own", "shared"], "seeds": [1]}))
    cells = cells_of(study)
    assert [(cell.arm, cell.problems) for cell in cells][3:] == [
        ("base", "shared"), ("own rollouts", "shared"), ("RSD <b>", "shared")
    ]  # fmt: skip
    steps = {step.kind: step for cell in cells[3:] for step in in_order(cell.answers)}
    ids = set()
    for one in steps["shared"].after:
        do(one, whole / "steps")
    assert do(steps["shared"], whole / "steps")["problems"] > 0
    ids = set((whole / "steps" / steps["shared"].name / "ids.txt").read_text().split())
    costs = do(steps["training"], whole / "steps")
    assert costs["traces"] == len(ids)
    for one in steps["shared"].after:
        found = json.loads((whole / "steps" / one.name / "done.json").read_text())["figures"]
        assert len(ids) <= found["solved"]


def test_traces_are_chosen_by_their_scores(whole, tmp_path):
    file = write(tmp_path / "small.yaml", {"arms": {"RSR": {"select": {"by": "rsr", "correct": True}}}, "seeds": [1]})
    [cell] = [cell for cell in cells_of(read_study(file)) if cell.arm == "RSR"]
    state = run_steps(in_order(cell.answers), whole / "steps", 1, lambda state, step: None)
    assert not state.failed and not state.left
    kinds = {step.kind: state.done[step.name] for step in in_order(cell.answers)}
    assert kinds["choice"]["traces"] == kinds["training"]["traces"] > 0


def test_on_policy_distillation(tmp_path):
    """A student that is its own teacher has nothing to learn; TRL's loss says so, and the student is saved whole."""
    config = DistillConfig(
        out=tmp_path / "student", teacher="world", student="world", problems="world:size=4,seed=3", steps=2, batch=2,
        max_tokens=20, seed=1,
    )  # fmt: skip
    figures = distill(config)
    assert figures["steps"] == 2 and 0 < figures["tokens"] <= 2 * 2 * 20 and figures["loss"] > 0
    from transformers import AutoTokenizer

    from ownwords.models.load import load, model_path

    trained, before = load(str(config.out), "student", "cpu", "float32"), load("world", "student", "cpu", "float32")
    assert trained.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    assert trained.tokenizer.pad_token == AutoTokenizer.from_pretrained(model_path("world", "student")).pad_token
    moved = [
        (a - b).abs().max().item() for a, b in zip(trained.model.parameters(), before.model.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.01
    prompts = prompts_of(config, before.tokenizer)
    assert before.tokenizer.decode(prompts[0]).endswith("<think>\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arms": None}, "it has 0 arms and 1 benchmarks"),
        ({"seeds": [1, 1]}, "seeds is [1, 1], expected each once"),
        ({"seeds": 5}, "seeds is 5, expected a list of whole numbers"),
        ({"control": "nobody"}, "control names 'nobody', expected one of the arms own rollouts, RSD <b>"),
        ({"checkpoint": "best"}, "checkpoint cannot be chosen: a study evaluates the last one"),
        ({"arms": {"x": {"checkpoints": 3}}}, "arms.x: checkpoints cannot be chosen"),
        ({"arms": {"x": {"trian": {}}}}, "arms.x: trian is not known, expected one of generate"),
        ({"arms": {"x": {"train": {"lerning_rate": 1}}}}, "arms.x: train: lerning_rate is no option, did you mean"),
        ({"arms": {"x": {"train": {"epochs": 2}}}}, "arms.x: train: steps is 3 beside epochs 2: give one of them"),
        ({"arms": {"x": {"generate": {"gate": "treshold:1"}}}}, "arms.x: generate: "),
        ({"arms": {"x": {"distill": {"beta": 2}}}}, "arms.x: distill: beta is 2, expected a number from 0 to 1"),
        ({"benchmarks": {"x": {"greedy": "yes", "samples": 3}}}, "benchmarks: samples is 3 with greedy"),
        ({"problems": ["mine"]}, "problems is ['mine'], expected [own], [shared] or both"),
        ({"vary": {"learning_rate": [1]}}, "vary names 'learning_rate', expected an option of a command"),
        ({"vary": {"train.learning_rate": 1}}, "vary.train.learning_rate is 1, expected a list"),
    ],
)
def test_mistakes_in_the_file_are_told_in_a_line(tmp_path, capfd, change, said):
    file = write(tmp_path / "small.yaml", change)
    assert main("study", str(file), "--out", str(tmp_path / "out"), "--dry-run") == 2
    told = capfd.readouterr().err
    assert " ".join(said.split()) in " ".join(told.split()) and told.startswith("error:") and "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_here_is_told_at_the_start_and_the_plan_does_without(tmp_path, capfd):
    file = str(write(tmp_path / "small.yaml", {"generate": {"student": "nowhere/none"}}))
    assert main("study", file, "--out", str(tmp_path / "out"), "--dry-run") == 0
    assert "what is done is not known" in " ".join(capfd.readouterr().out.split())
    assert main("study", file, "--out", str(tmp_path / "out")) == 2
    assert "nowhere/none" in capfd.readouterr().err and not (tmp_path / "out").exists()


def test_the_recipes_are_studies():
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
    assert recipes
    for recipe in recipes:
        for quick in {False, "quick:" in recipe.read_text()}:
            assert len(cells_of(read_study(recipe, quick=quick))) > 1


def test_changes_from_the_command_line_and_the_quick_form(tmp_path, capfd):
    file = write(tmp_path / "small.yaml", {"quick": {"seeds": [7]}, "vary": {"train.learning_rate": [1e-4, 3e-4]}})
    study = read_study(file, ["train.steps=9", "arms.third={}"], quick=True)
    assert study.seeds == (7,) and len(study.arms) == 6
    assert study.arms[1].name == "own rollouts, learning_rate 0.0003"
    assert study.arms[1].options["train"] == {"preset": "world", "steps": 9, "learning_rate": 3e-4}
    for words, said in (
        (["--set", "train.steps"], "expected NAME=VALUE"),
        (["--plan", "2"], "which --plan needs: run a pilot first"),
        (["--plan", "0"], "plan is 0"),
    ):
        assert main("study", str(file), "--out", str(tmp_path / "out"), *words) == 2
        assert said in " ".join(capfd.readouterr().err.split())
    with pytest.raises(ValueError, match="no part `quick`"):
        read_study(write(tmp_path / "slow.yaml"), quick=True)


def test_a_step_is_named_by_the_content_of_its_files(tmp_path):
    file = tmp_path / "problems.jsonl"
    names = []
    for text in ("one", "another", "one"):
        file.write_text(text)
        step = Step("traces", {"problems": str(file)})
        names.append(step.name)
        from ownwords.studies import graph

        graph.content.cache_clear()
        graph._key.cache_clear()
    assert names[0] == names[2] != names[1]


def test_the_plan_says_how_many_seeds_and_problems(whole, tmp_path, capfd):
    assert main("study", str(write(tmp_path / "small.yaml")), "--out", str(whole), "--plan", "20") == 0
    said = capfd.readouterr().out
    assert "±20 points" in said and "3 seeds" in said
