// What the page knows, and how the tokens of a problem are unpacked when they are asked for (payload.py packs them).

const report = JSON.parse(document.getElementById("data").textContent);
const TEACHER = 0, STUDENT = 1, FORCED = 2, NOBODY_KNOWS = 3;
const THOUSANDTHS = 1000, PARTS = 60000, ZERO = 0xfffe, UNKNOWN = 0xffff;

const byId = (id) => document.getElementById(id);

// Text enters the document here and nowhere else, and only as text.
function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}

// The attempts of one set at one problem, each with its columns; attempts tell how many tokens belong to which.
async function unpack(block, attempts) {
  const bytes = Uint8Array.from(atob(block), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const total = attempts.reduce((sum, attempt) => sum + attempt.tokens, 0);
  let offset = 0;
  const column = (Kind) => {
    const values = new Kind(buffer, offset, total);
    offset += values.byteLength;
    return values;
  };
  const columns = {
    text: column(Uint32Array), refused: column(Uint32Array), rank: column(Uint32Array),
    student: column(Uint16Array), teacher: column(Uint16Array), mass: column(Uint16Array),
    refusedProb: column(Uint16Array), source: column(Uint8Array),
  };
  let start = 0;
  return attempts.map((attempt) => {
    const stop = start + attempt.tokens;
    const own = Object.entries(columns).map(([name, values]) => [name, values.subarray(start, stop)]);
    start = stop;
    return Object.fromEntries(own);
  });
}

// -ln p in nats; null where nobody knows it
const surprisal = (code) => (code === UNKNOWN ? null : code === ZERO ? Infinity : code / THOUSANDTHS);
const share = (code) => (code === UNKNOWN ? null : code / PARTS);

function percent(p) {
  if (p === null) return "unknown";
  if (p === 0) return "0";
  if (p < 0.0001) return p.toExponential(1);
  return `${(100 * p).toFixed(p < 0.01 ? 2 : 1)}%`;
}

const probability = (code) => percent(surprisal(code) === null ? null : Math.exp(-surprisal(code)));
