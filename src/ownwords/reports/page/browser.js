// The list of problems with its filters. What is chosen is drawn by reader.js.

const ROW = 58; // px, the height of .row in page.css
const list = byId("list"), rows = byId("rows");
let listed = report.problems.map((_, i) => i); // the problems that pass the filters
let chosen = -1; // a place in `listed`

// What tells a problem from the others: the line of it that the fewest share (page.css shows the end of it).
const linesOf = (problem) => problem.question.split("\n").map((line) => line.trim()).filter(Boolean);
const shared = new Map();
for (const line of report.problems.flatMap(linesOf)) shared.set(line, (shared.get(line) ?? 0) + 1);

function label(problem) {
  const lines = linesOf(problem).reverse();
  const fewest = Math.min(...lines.map((line) => shared.get(line)));
  return lines.find((one) => shared.get(one) === fewest) ?? problem.id;
}

function drawList() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  rows.style.height = `${listed.length * ROW}px`;
  rows.replaceChildren();
  for (let place = first; place < last; place++) rows.append(listRow(place));
  list.setAttribute("aria-activedescendant", chosen >= first && chosen < last ? `row${chosen}` : "");
}

function listRow(place) {
  const problem = report.problems[listed[place]];
  const row = element("div", "row");
  row.id = `row${place}`;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", place === chosen);
  row.setAttribute("aria-setsize", listed.length);
  row.setAttribute("aria-posinset", place + 1);
  row.style.top = `${place * ROW}px`;
  const scores = element("span", "scores");
  problem.attempts.forEach((attempts, i) => {
    const score = element("span");
    score.title = report.sets[i].name;
    score.append(element("span", `line line${i}`), element("span", "score", solved(attempts)));
    scores.append(score);
  });
  const first = element("span", "first");
  first.append(element("bdi", "", label(problem)));
  row.append(first, scores);
  row.addEventListener("click", () => choose(place));
  return row;
}

function solved(attempts) {
  const judged = attempts.filter((attempt) => attempt.verdict !== "unverifiable");
  const correct = attempts.filter((attempt) => attempt.verdict === "correct").length;
  return judged.length ? `${correct}/${attempts.length}` : `${attempts.length}`;
}

// The attempts that the filters ask for; null where they ask for none in particular.
function filters() {
  const verdict = byId("verdict").value, among = byId("among").value, finding = byId("finding").value;
  const places = finding === "" ? null : new Set(report.findings[finding].places.map((place) => place.join()));
  if (!verdict && among === "" && !places) return null;
  return (problem, set, attempt) =>
    (!verdict || attempt.verdict === verdict) &&
    (among === "" || set === Number(among)) &&
    (!places || places.has([problem, set, attempt.attempt].join()));
}

function filter() {
  const wanted = filters();
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const before = listed[chosen];
  listed = [];
  report.problems.forEach((problem, i) => {
    const text = `${problem.question} ${problem.id} ${problem.source} ${problem.answer}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) return;
    if (wanted && !problem.attempts.some((all, set) => all.some((attempt) => wanted(i, set, attempt)))) return;
    listed.push(i);
  });
  byId("count").textContent = `${listed.length.toLocaleString("en")} of ${count(report.problems.length, "problem")}`;
  const kept = listed.indexOf(before);
  choose(kept >= 0 ? kept : listed.length ? 0 : -1);
}

function choose(place) {
  chosen = place;
  if (place >= 0) {
    const top = place * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }
  drawList();
  showProblem(place < 0 ? -1 : listed[place], filters());
}

function showFinding(i) {
  byId("filters").reset();
  byId("finding").value = String(i);
  filter();
  byId("traces").scrollIntoView();
  list.focus({ preventScroll: true });
}

function option(value, text) {
  const made = element("option", "", text);
  made.value = value;
  return made;
}

function prepareFilters() {
  const verdicts = new Set(report.problems.flatMap((p) => p.attempts.flat().map((attempt) => attempt.verdict)));
  byId("verdict").append(option("", "any verdict"), ...[...verdicts].sort().map((verdict) => option(verdict, verdict)));
  byId("among").append(option("", "any set"), ...report.sets.map((set, i) => option(i, set.name)));
  byId("among").hidden = report.sets.length === 1;
  byId("finding").append(option("", "everything"), ...report.findings.map((finding, i) => option(i, finding.title)));
  byId("finding").hidden = !report.findings.length;
  byId("search").addEventListener("input", filter);
  byId("filters").addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", drawList);
  window.addEventListener("resize", drawList);
  const all = report.total === report.problems.length;
  byId("sample").textContent = all
    ? "Every problem with all its traces."
    : `A sample: this file holds the traces of ${report.problems.length.toLocaleString("en")} of ` +
      `${count(report.total, "problem")}, first of some that deserve a look, then drawn at random. ` +
      "Figures and pictures are about all of them.";
}
