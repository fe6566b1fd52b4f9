// Pointer, keyboard, and the first drawing.

const tokenAt = (event) => (tokens.has(event.target) ? event.target : null);

columns.addEventListener("mouseover", (event) => { if (tokenAt(event)) showValues(tokenAt(event)); });
columns.addEventListener("mouseleave", hideValues);
columns.addEventListener("click", (event) => { if (tokenAt(event)) showValues(tokenAt(event)); });
for (const scrolled of ["wheel", "touchmove"]) document.addEventListener(scrolled, hideValues, { passive: true });
byId("colour").addEventListener("change", colour);

const move = (by) => { if (listed.length) choose(Math.min(listed.length - 1, Math.max(0, chosen + by))); };
const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), Escape: hideValues,
  "/": () => byId("search").focus(),
  c: () => { byId("colour").selectedIndex = 1 - byId("colour").selectedIndex; colour(); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input, select");
  if (field && event.key === "Escape") return list.focus();
  if (field && (field.tagName === "INPUT" || event.key !== "/")) return;
  // these belong to the page, unless the traces are being read
  if (["ArrowUp", "ArrowDown"].includes(event.key) && !byId("traces").contains(event.target)) return;
  if (!KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

drawOverview();
drawPictures();
drawSettings();
prepareFilters();
if (!report.sets.some((set) => set.gate)) byId("colour").value = "surprisal"; // nobody knows who wrote them
colour();
filter();
