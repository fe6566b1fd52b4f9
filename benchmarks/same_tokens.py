"""Do traces depend on the draft length? The small world in fp32 with d = 0, 1, 3, 6 and auto, token by token.

python benchmarks/same_tokens.py --problems 250 --attempts 4
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from divergence import first_difference, margin

from ownwords.generation.config import GenerateConfig
from ownwords.generation.prepare import prepare
from ownwords.generation.run import generate
from ownwords.traces.store import Store

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--problems", type=int, default=250)
parser.add_argument("--attempts", type=int, default=4)
parser.add_argument("--gate", default="threshold:0.01")
options = parser.parse_args()

runs = {}
with tempfile.TemporaryDirectory() as folder:
    for d in (0, 1, 3, 6, "auto"):
        config = GenerateConfig.of(
            run=Path(folder) / str(d), problems=f"world:size={options.problems},seed=6", gate=options.gate,
            attempts=options.attempts, draft_length=d, max_tokens=400,
        )  # fmt: skip
        prepared = prepare(config)
        generate(prepared)
        with Store.read(config.run) as store:
            runs[d] = list(store.traces())
for d in (1, 3, 6, "auto"):
    equal = 0
    for one, other in zip(runs[0], runs[d], strict=True):
        at = first_difference(one, other)
        if at is None:
            equal += 1
            continue
        where = f"{one.problem_id}/{one.attempt} from token {at} on"
        print(f"d = 0 and {d}: {where}, margin {margin(prepared, one, at):g}")
    print(f"d = 0 and {d}: {equal} of {len(runs[0])} attempts are equal token by token ({equal / len(runs[0]):.2%})")
