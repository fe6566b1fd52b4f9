"""`--config` files in groups, and of the shape before there were groups; configurations by flat names."""

from __future__ import annotations

from pathlib import Path

import pytest

from ownwords.cli.options import read_options
from ownwords.configuration import FieldError, options
from ownwords.evaluation.config import EvalConfig
from ownwords.generation.config import GenerateConfig
from ownwords.training.config import TrainConfig


def read(folder: Path, text: str, kind: type = GenerateConfig):
    (folder / "run.yaml").write_text(text)
    return read_options(folder / "run.yaml", kind)


def test_a_file_in_groups_is_read_without_a_word(tmp_path, capsys):
    text = "seed: 3\nbudget: {max-tokens: 500}\nrules:\n  gate: rank:3\n  teacher_sampling: {top_p: 0.5}\n"
    found = read(tmp_path, text + "engine_options: {url: here}\nprompting: {template_kwargs: {thinking: true}}\n")
    assert found == {
        "seed": 3, "max_tokens": 500, "gate": "rank:3", "teacher_sampling": {"top_p": 0.5},
        "engine_options": {"url": "here"}, "template_kwargs": {"thinking": True},
    }  # fmt: skip
    assert GenerateConfig.of(run=tmp_path, **found).rules.teacher_sampling.top_p == 0.5
    assert capsys.readouterr().err == ""


def test_a_flat_file_is_read_too_and_one_line_names_the_moves(tmp_path, capsys):
    text = (
        "seed: 3\nmax_tokens: 500\nteacher_sampling.temperature: 0.5\nlocal: {batch: 4}\nstudent-sampling: {top_k: 3}\n"
    )
    found = read(tmp_path, text)
    assert found == {
        "seed": 3, "max_tokens": 500, "teacher_sampling.temperature": 0.5, "batch": 4, "student_sampling": {"top_k": 3}
    }  # fmt: skip
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "max_tokens is budget.max_tokens" in line and "seed" not in line
    assert "teacher_sampling.temperature is rules.teacher_sampling.temperature" in line and "batch" not in line
    assert "student-sampling is rules.student_sampling" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_tokens: 5\nbudget: {max_tokens: 6}\n", "budget.max_tokens stands there as max_tokens already"),
        ("max-tokens: 5\nmax_tokens: 6\n", "max_tokens stands there as max-tokens already"),
        ("rules: {max_tokens: 6}\n", "rules.max_tokens is no option, expected one of preset, gate"),
        ("budget: {seed: 6}\n", "budget.seed is no option, expected one of attempts"),
    ],
)
def test_what_a_file_cannot_say(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [GenerateConfig, EvalConfig, TrainConfig])
def test_names_are_flat_and_single(kind):
    """No group has the name of an option, so that a key of a file can only mean one of the two."""
    groups = {one.path[0] for one in options(kind).values() if len(one.path) > 1 and "." not in one.name}
    assert groups and not groups & {name.split(".")[0] for name in options(kind)}
    recorded = GenerateConfig if kind is EvalConfig else kind  # an evaluation has the record of a generation
    assert kind.free() < set(options(recorded))


def test_configurations_are_made_and_changed_by_flat_names():
    config = GenerateConfig.of(run=Path("x"), gate="always", student_sampling={"top_k": 3}, limit=4)
    assert (config.rules.gate, config.rules.student_sampling.top_k, config.source.limit) == ("always", 3, 4)
    other = config.changed(max_tokens=50, **{"student_sampling.top_p": 0.5})
    assert (other.budget.max_tokens, other.rules.gate, other.source) == (50, "always", config.source)
    assert (other.rules.student_sampling.top_k, other.rules.student_sampling.top_p) == (3, 0.5)
    assert config.budget.max_tokens == 1024
    differing = {key for key, value in other.flat().items() if value != config.flat()[key]}
    assert differing == {"max_tokens", "student_sampling.top_p"}


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(FieldError, match="^max_token is no option, did you mean max_tokens\\?$"):
        GenerateConfig.of(run=Path("x"), max_token=5)
    with pytest.raises(FieldError, match="^budget is no option$"):
        GenerateConfig.of(run=Path("x"), budget=5)


def test_a_wrong_value_carries_its_field():
    with pytest.raises(FieldError, match="^student_sampling.top_p is 2, expected a share above 0, up to 1$") as raised:
        GenerateConfig.of(run=Path("x"), student_sampling={"top_p": 2})
    assert raised.value.field == "student_sampling.top_p"
    with pytest.raises(FieldError, match="^until_correct is 3, which max_attempts 2 leaves no room for$") as raised:
        GenerateConfig.of(run=Path("x"), until_correct=3, max_attempts=2)
    assert raised.value.worded(lambda name: f"<{name}>").startswith("<until_correct> is 3, which <max_attempts> 2")


def test_values_in_a_message_are_not_read_as_names():
    error = FieldError("gate", "{gate} is {}, expected {}", "{seed}", "{}")
    assert str(error) == "gate is {seed}, expected {}" and error.worded(str.upper) == "GATE is {seed}, expected {}"


def test_the_local_engine_leaves_no_word_in_a_record():
    """Run directories of before engines had names go on."""
    assert "engine" not in GenerateConfig.of(run=Path("x")).flat()
    flat = GenerateConfig.of(run=Path("x"), engine="far", engine_options={"url": "u"}).flat()
    assert (flat["engine"], flat["engine_options.url"]) == ("far", "u")
