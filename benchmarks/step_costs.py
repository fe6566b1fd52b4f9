"""What a step costs, and what speculation can give at these costs: the cost model of docs/performance.md.

python benchmarks/step_costs.py --keep-rate 0.97                       # the small world
python benchmarks/step_costs.py --shapes Qwen3-8B Qwen3-0.6B --sweep   # random weights of these shapes, on a GPU

With keep rate k a block of D positions gives (1 - k^D) / (1 - k) tokens and costs D student steps, D draws and one pass
of the teacher over D positions with its D verdicts. `--sweep` prints the model for keep rates from 0.5 to 0.95: with
random weights there is no keep rate to measure, so nothing but the step costs is a measurement there.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import filled, machine, milliseconds, pass_ms
from transformers import Qwen3Config, Qwen3ForCausalLM

from ownwords.engines.pace import LENGTHS
from ownwords.models.load import load
from ownwords.rsd.noise import DRAFT
from ownwords.rsd.step import Draft, Rules, draft, verify

SHAPES = {
    "Qwen3-8B": dict(hidden_size=4096, num_hidden_layers=36, num_attention_heads=32, intermediate_size=12288),
    "Qwen3-0.6B": dict(hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, intermediate_size=3072),
}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", default="world")
parser.add_argument("--student", default="world")
parser.add_argument("--shapes", nargs=2, metavar=("TEACHER", "STUDENT"), choices=SHAPES)
parser.add_argument("--device", default="auto")
parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
parser.add_argument("--context", type=int, default=96, help="positions that a row has behind it")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
parser.add_argument("--keep-rate", type=float, default=0.97)
parser.add_argument("--sweep", action="store_true")
parser.add_argument("--repetitions", type=int, default=15)
options = parser.parse_args()


def model(role: str):
    if options.shapes is None:
        return load(getattr(options, role), role, options.device, options.dtype).model
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    shape = SHAPES[options.shapes[role == "student"]]
    config = Qwen3Config(vocab_size=151_936, num_key_value_heads=8, head_dim=128, **shape)
    with torch.device(device):
        return Qwen3ForCausalLM(config).to(torch.bfloat16).eval()


print(machine())
teacher, student = model("teacher"), model("student")
V, rules = student.get_output_embeddings().weight.shape[0], Rules()
rates = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95] if options.sweep else [options.keep_rate]
for B in options.batches:
    lanes = [filled(side, B, options.context) for side in (teacher, student)]
    device = student.device
    generator = torch.Generator().manual_seed(0)
    logits_BV = (6 * torch.randn(B, V, generator=generator)).to(device)
    u_B4 = torch.from_numpy(np.random.default_rng(0).random((B, 4))).to(device)
    free_B = torch.full((B,), -1, device=device)
    one = draft(rules, logits_BV, u_B4[:, DRAFT], free_B)
    lengths = [d for d in LENGTHS if 8 * B * (d + 1) * V <= 1 << 30]
    student_ms = pass_ms(lanes[1], 1, options.repetitions)
    draw_ms = milliseconds(lambda x=logits_BV, u=u_B4, f=free_B: draft(rules, x, u[:, DRAFT], f), options.repetitions)
    block_ms = {}
    for d in lengths:
        block = Draft(*(getattr(one, name).repeat(d + 1, *[1] * (getattr(one, name).ndim - 1))
                        for name in ("token_B", "log_q_BV", "log_fallback_BV")))  # fmt: skip
        many = (logits_BV.repeat(d + 1, 1), block, u_B4.repeat(d + 1, 1), free_B.repeat(d + 1))
        verdict_ms = milliseconds(lambda many=many: verify(rules, *many), options.repetitions)
        block_ms[d] = pass_ms(lanes[0], d + 1, options.repetitions), verdict_ms
    teacher_ms, verdict_ms = block_ms[0]
    plain = student_ms + draw_ms + teacher_ms + verdict_ms
    print(f"\nbatch {B}: student {student_ms:.2f} ms, its draw {draw_ms:.2f}; teacher {teacher_ms:.2f} ms, verdict "
          f"{verdict_ms:.2f}; teacher / student {teacher_ms / student_ms:.1f}")  # fmt: skip
    print(
        "  teacher's pass over 1 + d positions, ms: " + ", ".join(f"d {d}: {t:.1f}" for d, (t, _) in block_ms.items())
    )
    for rate in rates:
        gain = {}
        for d, (t, v) in block_ms.items():
            tokens = sum(rate**i for i in range(d + 1))
            gain[d] = tokens * plain / ((d + 1) * (student_ms + draw_ms) + t + v)
        best = max(gain, key=gain.get)
        print(f"  keep rate {rate:g}: at best {gain[best]:.2f} times as fast as without drafts, with d = {best}")
