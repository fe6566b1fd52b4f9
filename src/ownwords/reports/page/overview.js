// Everything above and below the traces: figures, what deserves a look, pictures, settings.

function table(rows, corner) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  head.append(element("th", "", corner), ...report.sets.map((set, i) => setName("th", set, i)));
  const body = made.createTBody();
  for (const [label, ...cells] of rows) {
    const row = body.insertRow();
    const name = element("th", "text", label);
    name.scope = "row";
    row.append(name, ...cells.map((cell) => element("td", "text", cell)));
  }
  return made;
}

// A set's name with the line that it has in the pictures.
function setName(tag, set, i) {
  const made = element(tag);
  if (report.sets.length > 1) made.append(element("span", `line line${i}`));
  made.append(element("span", "text", set.name));
  return made;
}

function drawOverview() {
  byId("title").textContent = report.sets.map((set) => set.name).join(" · ");
  byId("figures").append(table(report.overview, ""));
  byId("made").textContent = `Made by ${report.made}.`;
  const found = byId("findings");
  if (!report.findings.length) found.append(element("p", "note", "Nothing."));
  report.findings.forEach((finding, i) => {
    const button = element("button", "finding");
    const where = `${count(finding.attempts, "attempt")} at ${count(finding.problems, "problem")}`;
    button.append(element("span", "text", finding.title), element("span", "badge", where));
    const note = finding.note + missing(finding);
    if (note) button.append(element("span", "note text", note));
    button.disabled = !finding.places.length;
    button.addEventListener("click", () => showFinding(i));
    found.append(button);
  });
}

const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

function missing(finding) {
  const left = finding.attempts - finding.places.length;
  return left ? ` (${left.toLocaleString("en")} of these attempts are not in this file)` : "";
}

function drawPictures() {
  for (const picture of report.pictures) {
    const figure = element("figure", "card");
    const both = element("picture");
    const dark = element("source");
    dark.media = "(prefers-color-scheme: dark)";
    dark.srcset = picture.dark;
    const light = element("img");
    light.alt = `${picture.title}. ${picture.alt}`;
    light.src = picture.light;
    both.append(dark, light);
    const caption = element("figcaption");
    caption.append(element("strong", "", picture.title), element("span", "note text", picture.alt));
    figure.append(both, caption);
    byId("pictures").append(figure);
  }
}

function drawSettings() {
  const differs = ([, ...cells]) => cells.some((cell) => cell !== cells[0]);
  const [other, same] = [report.config.filter(differs), report.config.filter((row) => !differs(row))];
  if (other.length) byId("config").append(element("h3", "", "Where the sets differ"), table(other, "setting"));
  const rest = element("details");
  rest.open = !other.length;
  rest.append(element("summary", "", other.length ? "What they have in common" : "Configuration"), table(same, "setting"));
  byId("config").append(rest);
  const versions = element("details");
  versions.append(element("summary", "", "Versions"), table(report.versions, "package"));
  byId("versions").append(versions);
}
