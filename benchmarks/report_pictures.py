"""Pictures of a report, light and dark, as the documentation shows them.

python benchmarks/report_pictures.py runs/demo/rsd runs/demo/teacher runs/demo/student --out docs
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from chromium import chromium, open_page, picture, show_as

from ownwords.reports.report import write_report

POINT = """
document.getElementById("traces").scrollIntoView();
const solved = (attempts) => attempts.findIndex((attempt) => attempt.verdict === "correct");
const good = report.problems.findIndex((problem) => problem.attempts.every((attempts) => solved(attempts) >= 0) &&
  problem.question.includes("legs"));
choose(Math.max(0, listed.indexOf(good)));
"""
"""chooses a problem that every set solved, so that styles and not mistakes are compared"""
HOVER = """
for (const [i, column] of [...columns.children].entries()) {
  column.querySelectorAll(".attempt")[Math.max(0, solved(report.problems[listed[chosen]].attempts[i]))].click();
}
const refused = [...document.querySelectorAll(".column:first-child .student")]
  .find((span) => tokens.get(span).read.refused[tokens.get(span).at]);
if (refused) showValues(refused);
"""
"""opens a correct attempt of each, and the values of a token in whose place the gate refused another"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("sets", nargs="+", type=Path)
parser.add_argument("--out", type=Path, default=Path("docs"))
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder, chromium() as driver:
    page = Path(folder) / "report.html"
    write_report(options.sets, page)
    show_as(driver, 1360, 800)
    open_page(driver, page)
    driver.execute_script(POINT)
    driver.execute_async_script("setTimeout(arguments[0], 500)")
    driver.execute_script(POINT.splitlines()[2] + HOVER)
    for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
        show_as(driver, 1360, 800, scheme)
        picture(driver, options.out / name)
        print(f"{options.out / name}: {(options.out / name).stat().st_size / 1000:.0f} kB")
