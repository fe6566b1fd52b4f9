"""A Qwen2.5-shaped teacher (152,064 rows) and a Qwen3-shaped student (151,936) with the real tokenizers: what is
written, by whom, and does the record agree with plain forward passes?

python benchmarks/two_vocabularies.py --data DATA    # 1,000 attempts, about 210,000 tokens

The weights are random (hidden size 32), so what is written means nothing; what counts is which ids are written. So that
it is put to the test, the rows of think tags, of padding and of what only one tokenizer has are made eight times as
long: their logits are often the highest. DATA holds `tokenizers_qwen/`. `--run DIR` keeps the run, which then goes on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import machine
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ownwords.generation.config import GenerateConfig
from ownwords.generation.options import SamplingOptions
from ownwords.generation.prepare import Prepared, prepare
from ownwords.generation.run import generate
from ownwords.records.trace import Trace
from ownwords.rsd.columns import FORCED, STUDENT, TEACHER
from ownwords.rsd.step import teacher_log_p
from ownwords.traces.store import Store

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHARED, OURS = 151_665, 151_669
"""ids below are in both tokenizers; ids from there up to `OURS` in Qwen3's alone"""


def save(folder: Path, tokenizers: Path, name: str) -> None:
    teacher = name == "qwen2.5"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizers / f"tokenizer.{name}.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0 if teacher else 1)
    shape = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=64,
        max_position_embeddings=2048, tie_word_embeddings=False, initializer_range=0.3,
    )  # fmt: skip
    if teacher:
        model = Qwen2ForCausalLM(Qwen2Config(vocab_size=152_064, **shape))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(vocab_size=151_936, head_dim=16, **shape))
    with torch.no_grad():
        model.lm_head.weight[SHARED:] *= 8
    model.generation_config.eos_token_id = [151_643, 151_645]
    model.save_pretrained(folder)


@torch.inference_mode()
def largest_error(prepared: Prepared, trace: Trace) -> float:
    """|stored - re-scored| log-probability of the teacher, by one plain pass over its own ids."""
    prompt = prepared.pair(trace.problem_id, trace.attempt)[0]
    spelled = [prepared.job.writer.alignment.to_teacher(i) for i in trace.token_ids.tolist()]
    ids = [*prompt, *(i for pieces in spelled for i in pieces)]
    at = len(prompt) - 1 + np.cumsum([0, *map(len, spelled[:-1])])
    logits = prepared.engine.teacher.model(torch.tensor([ids]), use_cache=False).logits[0, at]
    written = torch.from_numpy(trace.token_ids.astype(np.int64))
    exact = teacher_log_p(prepared.engine.decoder.rules, logits).gather(-1, written[:, None])[:, 0].numpy()
    possible = np.isfinite(exact)
    assert np.array_equal(possible, np.isfinite(trace.teacher_logprob))
    return float(np.abs(exact[possible] - trace.teacher_logprob[possible]).max(initial=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("OWNWORDS_DATA")
    parser.add_argument("--data", type=Path, default=data, required=not data)
    parser.add_argument("--attempts", type=int, default=1000)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--spelled", choices=("student", "product"), default="student")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.run or Path(scratch)
        for name in ("qwen2.5", "qwen3"):
            if not (folder / name).exists():
                save(folder / name, Path(options.data) / "tokenizers_qwen", name)
        plain = SamplingOptions(temperature=1.0, top_p=1.0, top_k=0)
        prepared = prepare(
            GenerateConfig.of(
                run=folder / "run",
                teacher=str(folder / "qwen2.5"),
                student=str(folder / "qwen3"),
                gate="ratio",
                problems=f"world:size={options.attempts},seed=1",
                attempts=1,
                spelled=options.spelled,
                max_tokens=options.max_tokens,
                max_fallback=1.0,
                repetition_window=0,
                teacher_sampling=plain,
                student_sampling=plain,
                batch=16,
            )  # fmt: skip
        )
        complete = generate(prepared)
        with Store.read(folder / "run") as store:
            report(prepared, list(store.traces()))
        if not complete:
            print("interrupted; the same command with --run goes on")


def report(prepared: Prepared, traces: list[Trace]) -> None:
    ids, source = (np.concatenate([getattr(t, name) for t in traces]) for name in ("token_ids", "source"))
    refused = np.concatenate([t.refused_id for t in traces])
    closing = ids == prepared.style.closing_id
    print(machine())
    print(f"{len(traces)} attempts, {len(ids):,} tokens: {(source == TEACHER).sum():,} by the teacher, "
          f"{(source == STUDENT).sum():,} by the student, {(source == FORCED).sum():,} forced")  # fmt: skip
    print(f"padding rows or ids of the teacher alone: {(ids >= OURS).sum()} written, {(refused >= OURS).sum()} refused")
    print(f"ids of the student alone: {(ids >= SHARED).sum():,} written, "
          f"{((ids >= SHARED) & (source == TEACHER)).sum()} of them by the teacher")  # fmt: skip
    print(f"</think>: {closing.sum():,} written, {(closing & (source == TEACHER)).sum()} of them by the teacher")
    print(f"largest error of the teacher's log-probabilities in 8 traces: "
          f"{max(largest_error(prepared, t) for t in traces[:8]):.2g} nats")  # fmt: skip


main()
