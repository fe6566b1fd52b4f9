"""Does a pilot's forecast hold? Pilot of 20 problems, then the run itself, for several seeds on the small world.

python benchmarks/pilot_calibration.py --seeds 10

Every seed has problems of its own. A pilot tries two gates; the run of 300 problems is made with the suggested one, as
`ownwords generate` makes it. A line per seed: what was predicted, with its interval, and what came. `--results FILE`
keeps the lines as JSON, skips the seeds that are there, and counts them all at the end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from common import machine

from ownwords.generation.config import GenerateConfig
from ownwords.generation.forecast import Interval
from ownwords.generation.pilot import run_pilot
from ownwords.generation.prepare import prepare
from ownwords.generation.progress import Progress
from ownwords.generation.run import generate
from ownwords.traces.store import Store
from ownwords.traces.summary import summarise

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--problems", type=int, default=300)
parser.add_argument("--size", type=int, default=20)
parser.add_argument("--attempts", type=int, default=1)
parser.add_argument("--batch", type=int, default=40)
parser.add_argument("--max-tokens", type=int, default=400)
parser.add_argument("--results", type=Path)
options = parser.parse_args()


def trial(seed: int, folder: Path) -> dict[str, dict]:
    config = GenerateConfig.of(
        run=folder / "pilot", problems=f"world:size={options.problems},seed={100 + seed}", seed=seed,
        attempts=options.attempts, batch=options.batch, max_tokens=options.max_tokens,
    )  # fmt: skip
    pilot = run_pilot(config, ("threshold:0.01", "threshold:0.003"), options.size, lambda gate, progress: None)
    assert pilot is not None
    chosen = next(i for i, arm in enumerate(pilot.arms) if arm.gate == pilot.suggested)
    prediction = pilot.forecasts[chosen]
    last: list[Progress] = []
    run = prepare(config.changed(run=folder / "run", gate=pilot.suggested))
    times: list[float] = []

    def tell(progress: Progress) -> None:
        times.append(time.perf_counter())
        last[:] = [progress]

    generate(run, tell)
    with Store.read(run.config.run) as store:
        summary = summarise(store.traces())
    seen = {
        "solved": summary.solved / summary.problems,
        "length": summary.mean_length,
        "speed": last[0].tokens / (times[-1] - times[0]),
    }
    return {
        name: {**vars(getattr(prediction, name)), "seen": value, "held": bool(getattr(prediction, name).holds(value))}
        for name, value in seen.items()
    }


def line(seed: int, result: dict[str, dict]) -> str:
    parts = []
    for name, form in (("solved", "{:.1%}"), ("length", "{:.1f}"), ("speed", "{:.0f}")):
        r = dict(result[name])
        said = Interval(r["value"], r["low"], r["high"])
        held = "held" if r["held"] else "MISSED"
        interval = f"{form.format(said.value)} ({form.format(said.low)} to {form.format(said.high)})"
        parts.append(f"{name} {interval}, seen {form.format(r['seen'])}, {held}")
    return f"seed {seed}: " + "; ".join(parts)


print(machine())
results = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
for seed in range(options.seeds):
    if str(seed) not in results:
        with tempfile.TemporaryDirectory() as folder:
            results[str(seed)] = trial(seed, Path(folder))
        if options.results:
            options.results.write_text(json.dumps(results, indent=1))
    print(line(seed, results[str(seed)]), flush=True)
for name in ("solved", "length", "speed"):
    print(f"{name}: held in {sum(r[name]['held'] for r in results.values())} of {len(results)} seeds")
together = sum(all(r[name]["held"] for name in ("solved", "length", "speed")) for r in results.values())
print(f"all three: held in {together} of {len(results)} seeds")
