"""Think tags that the tokenizer marks as special: the same traces and verdicts, and all that is made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import make
from transformers import AutoTokenizer

from ownwords.chat.settings import THINK
from ownwords.chat.templates import decode
from ownwords.models.load import model_path
from ownwords.sharing.run_export import export_run
from ownwords.suitability.encode import Encoder
from ownwords.suitability.sets import members

SETTINGS = dict(problems="world:size=6,seed=4", attempts=1, max_tokens=120)


def marked(folder: Path) -> dict[str, str]:
    """The world pair with its think tags as special tokens, as scripts leave it behind."""
    for role in ("teacher", "student"):
        shutil.copytree(model_path("world", role), folder / role)
        tokenizer = AutoTokenizer.from_pretrained(folder / role)
        tokenizer.add_tokens(list(THINK), special_tokens=True)
        tokenizer.save_pretrained(folder / role)
        loaded = AutoTokenizer.from_pretrained(folder / role)
        special = {t.content for t in loaded.added_tokens_decoder.values() if t.special}
        assert {*THINK} <= special and loaded.get_vocab() == AutoTokenizer.from_pretrained(
            model_path("world", role)
        ).get_vocab()
    return {role: str(folder / role) for role in ("teacher", "student")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(folder, the run of the pair as it is, the run of the marked one)"""
    folder = tmp_path_factory.mktemp("special")
    _, plain = make(folder / "plain", **SETTINGS)
    _, special = make(folder / "special", **SETTINGS, **marked(folder))
    return folder, plain, special


def test_the_traces_and_verdicts_are_the_same_token_by_token(runs):
    _, plain, special = runs
    assert len(plain) == 6 and "correct" in {trace.verdict for trace in plain}
    for one, other in zip(plain, special, strict=True):
        assert one.problem_id == other.problem_id and one.prompt_ids.tolist() == other.prompt_ids.tolist()
        assert one.token_ids.tolist() == other.token_ids.tolist() and one.source.tolist() == other.source.tolist()
        for name in ("thinking", "answer_text", "answer", "found_by", "verdict", "finish_reason"):
            assert getattr(one, name) == getattr(other, name), name
        assert other.thinking.startswith("<think>\n") and "<|im_end|>" not in other.thinking + other.answer_text


def test_exports_and_text_are_the_same(runs):
    folder, plain, _ = runs
    tables = []
    for run in ("plain", "special"):
        export_run(folder / run, folder / f"{run}-export")
        rows = pq.read_table(folder / f"{run}-export/problems.parquet").to_pylist()
        sft = pq.read_table(folder / f"{run}-export/sft.parquet").to_pylist()
        tables.append((rows, sft))
    assert tables[0] == tables[1] and tables[0][1], "some were selected"
    assert all(text.startswith("<think>\n") for row in tables[0][0] for text in row["generations"])
    as_it_is, marked_one = (
        AutoTokenizer.from_pretrained(path) for path in (model_path("world", "student"), folder / "student")
    )
    for trace in plain:
        whole = as_it_is.decode(trace.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert decode(marked_one, trace.token_ids, THINK) == decode(as_it_is, trace.token_ids, THINK) == whole


def test_scoring_as_text_gives_the_same_ids(runs):
    folder, _, _ = runs
    as_it_is, marked_one = (
        Encoder(AutoTokenizer.from_pretrained(path)) for path in (model_path("world", "student"), folder / "student")
    )
    for member, other in zip(members(str(folder / "plain"), True), members(str(folder / "special"), True), strict=True):
        one, two = as_it_is(member.trace), marked_one(other.trace)
        assert (one.prompt_ids.tolist(), one.token_ids.tolist()) == (two.prompt_ids.tolist(), two.token_ids.tolist())


def test_the_marked_tokenizer_loses_the_tags_where_it_skips_special_tokens(runs):
    """Why this file is here; if it fails, the library has changed and the marked pair tests nothing."""
    folder, _, special = runs
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    assert "</think>" not in tokenizer.decode(special[0].token_ids, skip_special_tokens=True)
    flags = json.loads((folder / "student/tokenizer.json").read_text())["added_tokens"]
    assert all(token["special"] for token in flags)
