"""Every kind of fault, by the hundred: `python benchmarks/faults [KIND ...] [--quick] [--seed N]`.

Prints how many cases of each kind held and lists those that did not; exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # children are forked, which threads would not survive
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # as the command line does, before anything imports it
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

KINDS = tuple(
    path.stem
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "__main__", "common")
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help=", ".join(KINDS) + "; all if none is named")
    parser.add_argument("--quick", action="store_true", help="a few cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="a line for every case")
    given = parser.parse_args()
    failed = 0
    for kind in given.kinds or KINDS:
        started, cases = time.monotonic(), []
        with tempfile.TemporaryDirectory(prefix=f"faults-{kind}-") as work:
            for case in importlib.import_module(f"faults.{kind}").run(given.quick, given.seed, Path(work)):
                cases.append(case)
                if given.verbose or not case.fine:
                    print(f"  {'fine' if case.fine else 'FAILED'}: {case.name}: {case.why[:300]}", flush=True)
        bad = sum(not case.fine for case in cases)
        failed += bad
        print(f"{kind}: {len(cases) - bad} of {len(cases)} held ({time.monotonic() - started:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
