"""Does the batch size change traces? The small world in fp32 at batch 1, 7 and 64, attempt by attempt.

python benchmarks/batch_invariance.py --problems 75 --attempts 4
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
parser.add_argument("--problems", type=int, default=75)
parser.add_argument("--attempts", type=int, default=4)
parser.add_argument("--gate", default="threshold:0.01")
options = parser.parse_args()

runs = {}
with tempfile.TemporaryDirectory() as folder:
    for batch in (1, 7, 64):
        config = GenerateConfig.of(
            run=Path(folder) / str(batch), problems=f"world:size={options.problems},seed=6", gate=options.gate,
            attempts=options.attempts, batch=batch, max_tokens=400,
        )  # fmt: skip
        prepared = prepare(config)
        generate(prepared)
        with Store.read(config.run) as store:
            runs[batch] = list(store.traces())
for batch in (7, 64):
    equal = 0
    for one, other in zip(runs[1], runs[batch], strict=True):
        at = first_difference(one, other)
        if at is None:
            equal += 1
            continue
        where = f"{one.problem_id}/{one.attempt} from token {at} on"
        print(f"batch 1 and {batch}: {where}, margin {margin(prepared, one, at):g}")
    print(
        f"batch 1 and {batch}: {equal} of {len(runs[1])} attempts are equal token by token ({equal / len(runs[1]):.2%})"
    )
