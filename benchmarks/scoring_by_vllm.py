"""Scoring by vLLM's prompt log-probabilities beside `ownwords score`: the same model, the same texts, in turns.

.venv-vllm/bin/python benchmarks/scoring_by_vllm.py --model smollm2

vLLM says the log-probability and the rank of each token of a prompt; ours adds the entropy, which some scores need.
Each side reads texts that it has not read before; each side's fastest round counts.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="smollm2", help="a name of real_models.py, or a folder")
parser.add_argument("--rows", type=int, default=8)
parser.add_argument("--length", type=int, default=512, help="tokens per row; the first 16 are the prompt")
parser.add_argument("--rounds", type=int, default=3)
options = parser.parse_args()

from ownwords.vllm.options import VllmOptions, prepare_environment  # noqa: E402

os.environ.setdefault("HF_HUB_OFFLINE", "1")
prepare_environment(VllmOptions(cache=2))

from common import machine  # noqa: E402
from real_models import MODELS, fetch  # noqa: E402
from vllm import LLMEngine, SamplingParams  # noqa: E402
from vllm.engine.arg_utils import EngineArgs  # noqa: E402

from ownwords.models.load import load, weights_of  # noqa: E402
from ownwords.records.tokens import Tokens  # noqa: E402
from ownwords.suitability.forward import Scorer  # noqa: E402

name = options.model if Path(options.model).exists() or options.model not in MODELS else str(fetch(options.model))
ours = load(name, "student", "cpu", "float32")
scorer = Scorer(ours.model, None, name)
engine = LLMEngine.from_engine_args(
    EngineArgs(
        model=weights_of(name, "student")[0], dtype="float32", enforce_eager=True, skip_tokenizer_init=True,
        max_model_len=options.length + 1, max_num_seqs=options.rows, disable_log_stats=True,
        enable_prefix_caching=False,
    )
)  # fmt: skip
asked = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)


def by_vllm(ids_BT: np.ndarray) -> np.ndarray:
    """surprisal_BT of all tokens but the first, nats"""
    for i, row in enumerate(ids_BT):
        engine.add_request(str(i), {"prompt_token_ids": row.tolist()}, asked)
    found: dict[str, list[float]] = {}
    while len(found) < len(ids_BT):
        for output in engine.step():
            said = zip(output.prompt_logprobs[1:], output.prompt_token_ids[1:], strict=True)
            found[output.request_id] = [-one[token].logprob for one, token in said]
    return np.array([found[str(i)] for i in range(len(ids_BT))])


def by_ours(ids_BT: np.ndarray) -> np.ndarray:
    scored = scorer.score([Tokens(prompt_ids=row[:16], token_ids=row[16:]) for row in ids_BT])
    return -np.array([one.student_logprob for one in scored])


print(f"{machine()}, float32, {options.model}: {options.rows} rows of {options.length} tokens", flush=True)
rng, seconds = np.random.default_rng(0), {"vLLM": np.inf, "ownwords": np.inf}
for _ in range(options.rounds + 1):
    ids_BT = rng.integers(0, len(ours.tokenizer), (options.rows, options.length)).astype(np.int32)
    found = []
    for side, run in (("vLLM", by_vllm), ("ownwords", by_ours)):
        started = time.perf_counter()
        found.append(run(ids_BT))
        seconds[side] = min(seconds[side], time.perf_counter() - started)
off = np.abs(found[0][:, -found[1].shape[1] :] - found[1]).max()
for side, best in seconds.items():
    print(f"{side:9} {options.rows * options.length / best:8.1f} tokens/s")
times = seconds["vLLM"] / seconds["ownwords"]
print(f"ownwords is {times:.2f} times as fast; the two differ by {off:.2g} nats at most")
