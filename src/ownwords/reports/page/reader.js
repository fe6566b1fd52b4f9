// One problem: its traces side by side, coloured token by token, and the values of the token that is pointed at.

const PIECE = 4000; // tokens that are drawn at once
const LEVELS = [0.5, 0.1, 0.01, 0.001]; // student probabilities between the colours of the surprisal
const WRITERS = ["the teacher, let through", "the student", "the configuration (forced)", "unknown writer"];
const MARKS = { correct: "✓", incorrect: "✗", unparsable: "?", timeout: "⏱", unverifiable: "·" };
const columns = byId("columns"), values = byId("values");
let pointed = null; // the span whose values are shown
let asked = 0; // how often a problem was asked for; what is drawn may lag behind
const tokens = new WeakMap(); // span -> its attempt's columns and its place

async function showProblem(index, wanted) {
  const problem = report.problems[index], mine = ++asked;
  hideValues();
  byId("question").textContent = problem ? problem.question : "No problem passes the filters.";
  const answer = problem?.answer && `reference answer ${problem.answer}`;
  byId("reference").textContent = problem ? [answer, `problem ${problem.id}`, problem.source].filter(Boolean).join(" · ") : "";
  const blocks = problem ? problem.blocks : [];
  const read = await Promise.all(
    blocks.map((block, set) => (block ? unpack(block, problem.attempts[set]) : [])));
  if (mine !== asked) return; // another one was asked for meanwhile
  columns.replaceChildren(
    ...read.map((one, i) =>
      column(report.sets[i], i, problem.attempts[i], one, (attempt) => wanted?.(index, i, attempt))));
  columns.dataset.drawn = mine;
  performance.mark("drawn");
}

function column(set, i, attempts, read, wanted) {
  const made = element("article", "card column");
  const head = setName("h3", set, i);
  const buttons = element("div", "attempts");
  const facts = element("p", "note text");
  const trace = element("div", "trace");
  trace.tabIndex = 0;
  trace.setAttribute("role", "document");
  trace.setAttribute("aria-label", `Trace of ${set.name}`);
  made.append(head, buttons, facts, trace);
  const open = (place) => {
    [...buttons.children].forEach((button, other) => button.setAttribute("aria-pressed", other === place));
    facts.textContent = described(attempts[place], set);
    hideValues();
    trace.replaceChildren();
    draw(trace, read[place], 0);
  };
  attempts.forEach((attempt, place) => {
    const button = element("button", `attempt ${attempt.verdict}`, `${MARKS[attempt.verdict]} ${attempt.attempt}`);
    button.setAttribute("aria-label", `attempt ${attempt.attempt}, ${attempt.verdict}`);
    button.addEventListener("click", () => open(place));
    buttons.append(button);
  });
  if (attempts.length) open(Math.max(0, attempts.findIndex(wanted)));
  else facts.textContent = "No attempt at this problem.";
  return made;
}

function described(attempt, set) {
  const said = [attempt.verdict, ...(set.gate ? [attempt.finish] : []), count(attempt.tokens, "token")];
  if (set.mixes) said.push(`${percent(1 - attempt.fallback)} by the teacher`);
  if (attempt.surprisal !== null) {
    said.push(`${attempt.surprisal.toFixed(2)} nats per token, ${percent(attempt.implausible)} of them below 1%`);
  }
  if (attempt.answer) said.push(`answer ${attempt.answer}`);
  for (const [label, score] of Object.entries(attempt.scores)) said.push(`${label} ${score?.toPrecision(3) ?? "∞"}`);
  return said.join(" · ");
}

// Draws the spans from token `start` on; what is long goes on at the press of a button.
function draw(trace, read, start) {
  const fragment = document.createDocumentFragment();
  const stop = Math.min(read.text.length, start + PIECE);
  for (let at = start; at < stop; at++) {
    if (!read.text[at]) continue; // belongs to the span before
    const writer = ["", " student", " forced", " unknown"][read.source[at]];
    const nats = surprisal(read.student[at]);
    const level = read.source[at] === FORCED || nats === null ? 0 : LEVELS.filter((p) => nats > -Math.log(p)).length;
    const span = element("span", `t${writer} level${level}`);
    tokens.set(span, { read, at, level });
    write(span);
    fragment.append(span);
  }
  trace.append(fragment);
  if (stop < read.text.length) {
    const more = element("button", "more", `${count(read.text.length - stop, "token")} more`);
    more.addEventListener("click", () => { more.remove(); draw(trace, read, stop); });
    trace.append(more);
  }
}

// A coloured line break cannot be seen; its symbol can.
function write(span) {
  const { read, at, level } = tokens.get(span);
  const coloured = byId("colour").value === "writer" ? read.source[at] === STUDENT : level > 1;
  const text = report.texts[read.text[at]];
  span.textContent = coloured ? text.replaceAll("\n", "⏎\n") : text;
}

const visible = (text) => `“${text.replaceAll("\n", "⏎").replaceAll("\t", "⇥")}”`;

function showValues(span) {
  hideValues();
  const { read, at } = tokens.get(span);
  let stop = at + 1;
  while (stop < read.text.length && !read.text[stop]) stop++;
  const facts = [["token", `${visible(report.texts[read.text[at]])}, number ${at + 1}`]];
  if (stop > at + 1) facts.push(["", `a character of ${stop - at} tokens; the values are the first one's`]);
  if (read.source[at] === FORCED) facts.push(["written by", WRITERS[FORCED]]);
  else {
    if (read.source[at] === NOBODY_KNOWS || read.mass[at] !== UNKNOWN) facts.push(["written by", WRITERS[read.source[at]]]);
    if (read.teacher[at] !== UNKNOWN) facts.push(["teacher p", probability(read.teacher[at])]);
    facts.push(["student p", `${probability(read.student[at])}, rank ${read.rank[at].toLocaleString("en")}`]);
    if (read.mass[at] !== UNKNOWN) facts.push(["pass mass", percent(share(read.mass[at]))]);
    if (read.refused[at]) {
      const refused = `${visible(report.texts[read.refused[at]])}, proposed with ${percent(share(read.refusedProb[at]))}`;
      facts.push(["refused", refused]);
    }
  }
  values.replaceChildren(...facts.flatMap(([name, said]) => [element("dt", "", name), element("dd", "text", said)]));
  values.hidden = false;
  const box = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const below = box.bottom + 8 + values.offsetHeight < innerHeight;
  values.style.top = `${Math.max(4, below ? box.bottom + 8 : box.top - 8 - values.offsetHeight)}px`;
  values.style.left = `${Math.max(4, Math.min(box.left, document.documentElement.clientWidth - values.offsetWidth - 4))}px`;
  pointed = span;
  span.classList.add("pointed");
}

function hideValues() {
  if (pointed) pointed.classList.remove("pointed");
  pointed = null;
  values.hidden = true;
}

// Moves to the next (or previous) token of the trace that has the focus.
function step(by) {
  const trace = document.activeElement.closest?.(".trace") ?? columns.querySelector(".trace");
  if (!trace) return;
  const next = trace.contains(pointed)
    ? pointed[by > 0 ? "nextElementSibling" : "previousElementSibling"] : trace.querySelector(".t");
  if (!next || !tokens.has(next)) return;
  next.scrollIntoView({ block: "nearest" });
  showValues(next);
}

function colour() {
  const by = byId("colour").value;
  columns.dataset.colour = by;
  columns.querySelectorAll(".trace .t").forEach(write);
  const ours = report.sets.some((set) => set.gate), foreign = report.sets.some((set) => !set.gate);
  const samples = by === "writer"
    ? [...(ours ? [["t", "teacher"], ["t student", "student"]] : []), ["t forced", "forced"],
       ...(foreign ? [["t unknown", "unknown writer"]] : [])]
    : [["t level0", "50% or more"], ["t level1", "50 to 10%"], ["t level2", "10 to 1%"], ["t level3", "1 to 0.1%"],
       ["t level4", "below 0.1%"]];
  byId("legend").dataset.colour = by;
  byId("legend").replaceChildren(...samples.map(([kind, text]) => element("span", kind, text)));
}
