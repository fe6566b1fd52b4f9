"""Pictures of a report, light and dark, as the documentation shows them.

python benchmarks/report_pictures.py runs/demo/rsd runs/demo/teacher runs/demo/student --out docs
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from chromium import chromium, open_page, picture, show_as

from ownwords.reports.report import write_report

CHOOSE = """
document.getElementById("traces").scrollIntoView();
window.correct = (attempts) => attempts.filter((attempt) => attempt.verdict === "correct");
window.place = ([first, ...others]) => [
  first.findIndex((attempt) => attempt.verdict === "correct" && (attempt.fallback > 0 || !report.sets[0].mixes)),
  ...others.map((all) => all.indexOf(correct(all).sort((one, other) => other.tokens - one.tokens)[0])),
];
const good = report.problems.filter((problem) => place(problem.attempts).every((one) => one >= 0));
const length = (problem) => problem.attempts.reduce((sum, all, i) => sum + all[place(problem.attempts)[i]].tokens, 0);
good.sort((one, other) => length(other) - length(one));
choose(Math.max(0, listed.indexOf(report.problems.indexOf(good[0]))));
"""
"""the problem with the longest traces of those that every set solved, the first set with the student's help"""
POINT = """
const places = place(report.problems[listed[chosen]].attempts);
[...columns.children].forEach((column, i) => column.querySelectorAll(".attempt")[Math.max(0, places[i])].click());
const refused = [...document.querySelectorAll(".column:first-child .student")]
  .find((span) => tokens.get(span).read.refused[tokens.get(span).at]);
if (refused) showValues(refused);
"""
"""opens these attempts, and the values of a token in whose place the gate refused another"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("sets", nargs="+", type=Path)
parser.add_argument("--out", type=Path, default=Path("docs"))
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder, chromium() as driver:
    page = Path(folder) / "report.html"
    write_report(options.sets, page)
    show_as(driver, 1360, 800)
    open_page(driver, page)
    driver.execute_script(CHOOSE)
    driver.execute_async_script("setTimeout(arguments[0], 500)")
    driver.execute_script(POINT)
    for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
        show_as(driver, 1360, 800, scheme)
        picture(driver, options.out / name)
        print(f"{options.out / name}: {(options.out / name).stat().st_size / 1000:.0f} kB")
