"""vLLM in this process, short of everything: prompts are read in pieces and found again, requests are put off and taken
up again, and every token is that of the plain loop all the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from ownwords.engines import conformance as kit
from ownwords.engines.engine import Engine, write_all
from ownwords.engines.local import LocalEngine
from ownwords.engines.options import LocalOptions
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.vllm.embedded import VllmEngine
from ownwords.vllm.scheduler import TailoringScheduler

SHORT = {
    "draft_length": 3, "batch": 48, "cache": 1, "enable_chunked_prefill": True, "max_num_batched_tokens": 96,
    "block_size": 32, "num_gpu_blocks_override": 24, "enable_prefix_caching": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What vLLM's scheduler did."""
    return Counter()


@pytest.fixture(scope="module")
def engine(seen):
    job, _ = kit.a_job("pair")
    preempt, update = TailoringScheduler._preempt_request, TailoringScheduler.update_from_output

    def preempting(self, *given, **named):
        seen["put off"] += 1
        return preempt(self, *given, **named)

    def updating(self, scheduled, output):
        for new in scheduled.scheduled_new_reqs:
            seen["prefix hits"] += new.num_computed_tokens > 0
        for request_id in scheduled.num_scheduled_tokens:
            seen["pieces"] += bool(self.requests[request_id].is_prefill_chunk)
        return update(self, scheduled, output)

    TailoringScheduler._preempt_request, TailoringScheduler.update_from_output = preempting, updating
    return VllmEngine.open(job, SHORT)


def test_the_kit_passes_though_vllm_is_short_of_everything(engine: VllmEngine, seen):
    kit.conform(engine.again, kinds=("pair",))
    assert seen["put off"] > 0 and seen["prefix hits"] > 0 and seen["pieces"] > 0, seen


def test_traces_are_those_of_the_local_engine_token_by_token(engine: VllmEngine):
    job, requests = kit.a_job("pair")
    ours: Engine = LocalEngine.open(job, LocalOptions(teacher_dtype="float32", student_dtype="float32"))
    there = {one.key: one for one in write_all(engine.again(job), requests)}
    here = {one.key: one for one in write_all(ours, requests)}
    assert there.keys() == here.keys()
    sources = Counter[int]()
    for key, one in here.items():
        assert there[key].finish_reason == one.finish_reason
        for column in ("token_ids", "source"):
            np.testing.assert_array_equal(there[key].columns[column], one.columns[column])
        sources.update(one.columns["source"].tolist())
    assert set(sources) == {FORCED, TEACHER, STUDENT}  # so that each was compared


def test_nothing_stays_behind(engine: VllmEngine):
    assert engine.vllm.engine_core.engine_core.scheduler.kv_cache_manager.usage == 0


def test_the_patch_of_vllms_own_speculation_is_still_needed():
    """vLLM's rejection sampler on a CPU reads temperatures as whole numbers, into a copy. The benchmark, which compares
    with vLLM's own speculation, mends that; if this fails, it need not any more."""
    from vllm.v1.sample.rejection_sampler import expand_batch_to_tokens

    temperatures, ends = torch.tensor([0.7, 1.0]), torch.tensor([2, 5], dtype=torch.int32)
    found = expand_batch_to_tokens(temperatures, ends, 5)
    assert not torch.equal(found, torch.tensor([0.7, 0.7, 1.0, 1.0, 1.0]))
