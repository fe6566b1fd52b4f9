"""RSD with speculation against RSD without: the same engine, the same attempts, side by side.

python benchmarks/speculation.py                              # the small world
python benchmarks/speculation.py --teacher runs/same-style/model   # a teacher that writes like the student

Every repetition decodes the same attempts without drafts, with the length that the engine chooses, and with fixed
lengths, one after the other in changing order; what is compared is the ratio within a repetition.
"""

from __future__ import annotations

import argparse
import random
import statistics

from common import decode, machine, pair, spread

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", default="world")
parser.add_argument("--student", default="world")
parser.add_argument("--gate", default="threshold:0.01")
parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
parser.add_argument("--lengths", type=int, nargs="*", default=[], help="fixed draft lengths to measure beside auto")
parser.add_argument("--repetitions", type=int, default=5)
parser.add_argument("--picture", help="draw tokens per second over the batch size to this SVG file")
options = parser.parse_args()

print(machine())
dtypes = dict(teacher_dtype=options.dtype, student_dtype=options.dtype)
prepared = pair(options.teacher, options.student, gate=options.gate, **dtypes)
arms: list[int | None] = [0, None, *options.lengths]
print("batch  drafts  tokens/s  ratio: median (range)  tokens/block  teacher reads/token  teacher positions/token")
drawn: dict[str, list[float]] = {}
for batch in options.batches:
    attempts = min(max(32, 16 * batch), 1024)  # hundreds, as in real work: a short run is all beginning and end
    decode(prepared, batch, 3, max(16, 2 * batch))  # warm up
    speeds: dict[int | None, list[float]] = {arm: [] for arm in arms}
    last = {}
    for repetition in range(options.repetitions):
        for arm in random.Random(repetition).sample(arms, len(arms)):
            last[arm] = decode(prepared, batch, arm, attempts)
            speeds[arm].append(last[arm].speed)
    for arm in arms:
        ratios = [speed / plain for speed, plain in zip(speeds[arm], speeds[0], strict=True)]
        work = last[arm].work
        name = "auto" if arm is None else arm
        drawn.setdefault(f"drafts: {name}" if arm != 0 else "no drafts", []).append(statistics.median(speeds[arm]))
        print(
            f"{batch:5}  {name:>6}  {statistics.median(speeds[arm]):8.0f}  {spread(ratios):>22}"
            f"  {work.tokens / work.blocks:12.2f}  {work.blocks / work.tokens:19.3f}"
            f"  {work.positions / work.tokens:23.2f}",
            flush=True,
        )

if options.picture:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for label, values in drawn.items():
        axes.plot(options.batches, values, marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="attempts decoded together", ylabel="tokens per second")
    axes.set_xticks(options.batches, labels=map(str, options.batches))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(options.picture)
