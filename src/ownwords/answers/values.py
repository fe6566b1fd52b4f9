"""The value that a short passage states: a letter, a formula, a number with its unit, a word.

A passage is cut into words and runs of mathematics: `she has 3 + 4 = 7 apples left` has one run, which ends in 7, and 7
counts apples. What is not surely one value is none.
"""

from __future__ import annotations

import re

from ownwords.answers.quantity import read_quantity

LONGEST = 600
"""characters; a longer passage states no value"""
MATH = r"\$\$[^$]+\$\$|\\\[.+?\\\]|\\\(.+?\\\)|(?<![\\$\w])\$(?=[^\s$])(?:[^$\\\n]|\\.)*(?<=\S)\$(?!\d)"
TOKEN = re.compile(rf"(?:{MATH})|(?:(?!{MATH})\S)+", re.DOTALL)
SPAN = re.compile(MATH, re.DOTALL)
NUMBER = (
    r"[-−+]?(?:US)?[$€£¥]?[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.?|\.(?=\d))\d*(?:[eE][-+−]?\d{1,3})?"
)
PLAIN = re.compile(rf"{NUMBER}(?:/\d+)?(?:\\?%|°)?")
WITH_UNIT = re.compile(rf"{NUMBER}(?!st\b|nd\b|rd\b|th\b)[a-zA-Z]{{1,4}}[²³]?")
CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?:[ap]\.?m\.?)?", re.IGNORECASE)
RANGE = re.compile(r"\d[\d.,]*[-–—~]\d[\d.,]*%?")
OPERATOR = re.compile(r"[-+*/×÷·^=<>≤≥≈±−–—|!]{1,2}|:=|\\[a-zA-Z]+")
FORMULA = re.compile(r"[-+−±*/×÷·^=<>≤≥≈(){}\[\],.|!:_%°²³√π∞∪∩\d\\a-zA-Z$]+")
LONG_WORD = re.compile(r"(?<![\\a-zA-Z])(?!sqrt|sin|cos|tan|log|ln|exp|pi\b|frac|infinity|inf\b)[a-zA-Z]{2,}")
LETTER = re.compile(
    r"(?:the )?(?:correct |final |right )?(?:option|choice|answer|letter)?:? ?"
    r"(?:\((?P<round>[A-Ja-j])\)|(?P<upper>[A-J])(?![\w'’])|(?P<lower>[a-j])(?![\w'’ ]| [a-z]))(?P<rest>.*)",
    re.DOTALL,
)
FILLER = re.compile(
    r"(?:(?:indeed|therefore|thus|hence|simply|just|then|clearly|approximately|approx\.|about|roughly|around|exactly|"
    r"only|equal to|given by|found to be|now|also|still|definitely|most likely|likely|that)\b,?|[:=≈]|->)\s*",
    re.IGNORECASE,
)
REASON = re.compile(
    r"[,;.]?\s+\(?(?i:because|since|as (?:it|the|we|this|they|that|there)|which|so|given|due to|but|rather than|"
    r"instead of|(?:and )?not|i\.e\.)(?!\w)|\s+[-–—]+\s+(?=[A-Za-z]{2})|[.!]\s+(?=[A-Z][a-z]|I\b)"
)
UNIT = re.compile(r"[a-zA-Z°%\\^{}]+[²³23]?")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*\]]*\s+(?=\S)")
NO_UNIT = frozenset(
    "left in to for from on at by with of than out over per and or plus minus times divided multiplied more less fewer "
    "each every a an the is are was were be that which who when where because since as total altogether after before "
    "so then if remaining today now during until away together combined again instead".split()
)
CHANGING = frozenset("plus minus times divided multiplied mod squared cubed factorial and or".split())
"""words after a number that make another number of it"""
JOINING = CHANGING | frozenset("to out in over of by".split())
"""words between two numbers that make one thing of them"""
SCALED = frozenset("square cubic sq cu hundred thousand million billion trillion dozen".split())
"""what stands between a number and its unit"""
PREPOSITIONS = frozenset(
    "for in from by at on with after before than between out per over under into since until and to the step problem "
    "question part equation option case of least most".split()
)
NOT_ALONE = frozenset("than between step problem question part equation option case by under over least most".split())
VERBS = frozenset("is are was were has have had can will would should does do did be".split())
NO_VALUE = frozenset(
    "the a an this that these those it its in as to of for from by not n't no-one wrong incorrect correct right given "
    "obtained found unclear different always never based also same what which how there here we i you he she they if "
    "let our my one your his her let's first to".split()
)
"""words that begin a phrase about an answer and not the answer"""


def value_of(passage: str, kind: str) -> str | None:
    """The value that a passage begins with, as what follows `the answer is`."""
    text = undressed(passage.lstrip()[:LONGEST])
    while filler := FILLER.match(text):
        text = text[filler.end() :]
    text = undressed(text)
    if not text or re.match(r"(?:not|never|n't)\b", text, re.IGNORECASE):
        return None
    if kind == "choice":
        return choice_of(text)
    span = SPAN.match(text)
    start = span.end() if span else 0
    reason = REASON.search(text, start)
    text = undressed(text[: reason.start()] if reason else text)
    runs, words = _runs(text), text.split()
    if not runs or runs[0][0] > 0:
        short = len(words) <= 4 and words[0].lower().strip(".,") not in NO_VALUE and not VERBS & {*text.lower().split()}
        return text if short and re.fullmatch(r"[\w' -]+", text) and not runs else None
    end = runs[0][1]
    between = _words(text[end : runs[1][0]]) if len(runs) > 1 else []
    after = _words(text[end:])
    if (len(runs) > 1 and (not between or JOINING & {*between})) or (after and after[0] in CHANGING):
        return None if VERBS & {*after} or len(after) > 12 else text
    return None if VERBS & {*after} or len(after) > 8 else _with_unit(text[:end], text[end:])


def choice_of(text: str) -> str | None:
    """An option's letter, with the option's text where that follows; else the text itself, which may be an option's."""
    bare = undressed(re.sub(r"\\(?:text|textbf|mathrm|mathbf|mbox|textrm)\s*\{([^{}]*)\}", r"\1", text))
    found = LETTER.match(bare.replace("$", "") if bare.count("$") > 1 else bare)
    if not found:
        reason = REASON.search(text)
        text = undressed(text[: reason.start()] if reason else text)
        first = re.match(r"[\w']*", text)
        about = first and first[0].lower() in NO_VALUE and len(text.split()) < 3
        return text if text and len(text) < 200 and not about else None
    letter, rest = (found["round"] or found["upper"] or found["lower"]), found["rest"]
    if re.match(r"[\s,/&]*(?:(?:and|or)\b\s*|[,/&]\s*)\(?[A-Ja-j]\)?(?![\w'])", rest):
        return bare[:80]  # two letters
    reason = REASON.search(rest)
    said = rest[: reason.start()] if reason else rest
    marked = found["round"] or re.match(r"[.):]", said)
    option = undressed(re.match(r"[.):]*\s*([^\n]*)", said)[1]) if marked else ""
    whole = f"({letter})" if found["round"] else letter
    if option and re.match(r"(?:[,;]|is\b|as\b|and\b)", option):
        option = ""
    return f"{letter}) {option}" if option else whole


def conclusion_of(sentence: str) -> str | None:
    """The value that a sentence concludes in: the only run of mathematics, or the last one if it stands at the end."""
    text = undressed(sentence)
    if not text or len(text) > LONGEST or sentence.rstrip(" *\"')").endswith("?"):
        return None
    text = re.sub(r"[\s,]+(?:is|as) (?:the|our|my) (?:final |correct |required |right )?(?:answer|solution|result)\b.*", "", text)
    runs = _runs(text)
    if not runs:
        return None
    chain = [runs[-1]]
    for run in runs[-2::-1]:
        between = text[run[1] : chain[0][0]]
        if not re.fullmatch(r"\s*(?:,|;|and|or|,\s*and|,\s*or)\s*", between) or _before(text, run[0]) in PREPOSITIONS:
            break
        chain.insert(0, run)
    if len(chain) > 1:
        return text[chain[0][0] : chain[-1][1]] if len(chain) == len(runs) else None
    begin, end = runs[-1]
    before, after = _before(text, begin), _words(text[end:])
    if before in (NOT_ALONE if len(runs) == 1 else PREPOSITIONS) or (len(runs) > 1 and len(after) > 4):
        return None
    if after and after[0] in CHANGING:
        return None
    return _with_unit(text[begin:end], text[end:])


def undressed(text: str) -> str:
    """A passage without emphasis, quotes, a final stop, and the delimiters of math that are open or closed only."""
    text = text.strip()
    while True:
        before = text
        text = re.sub(r"^[*_`\"“”]+|[*_`\"“”]+$", "", text).strip()
        text = re.sub(r"(?<!\\)[.,;:]+$", "", text) if not re.search(r"\b[apAP]\.[mM]\.$|\\[,;:]$", text) else text
        for opening, closing in ((r"\[", r"\]"), (r"\(", r"\)"), ("$$", "$$")):
            if text.endswith(closing) and opening not in text[: -len(closing)]:
                text = text[: -len(closing)]
            if text.startswith(opening) and closing not in text[len(opening) :]:
                text = text[len(opening) :]
        if text.endswith("$") and not text.endswith("\\$") and len(re.findall(r"(?<!\\)\$", text)) % 2:
            text = text[:-1]
        if text.startswith("$") and text.count("$") == 1 and not re.match(r"\$\s?[\d.]", text):
            text = text[1:]
        if text == before:
            return text


def _runs(text: str) -> list[tuple[int, int]]:
    """Where mathematics stands: (start, end) of each run of tokens that are numbers, operators or formulas."""
    runs: list[tuple[int, int]] = []
    open_run = False
    for token in TOKEN.finditer(text):
        word = token[0]
        if not word:
            continue
        start, bare = token.start(), word
        if not SPAN.fullmatch(word):
            bare = word.rstrip(".,;:!?\"'*") if not re.search(r"\\[,;:!]$", word) else word
            lead = len(bare) - len(bare.lstrip("\"'*"))
            start, bare = start + lead, bare[lead:]
            if bare.startswith("(") and bare.endswith(")") and not re.search(r"[,\d]", bare):
                bare = ""
        kind = _kind(bare)
        if kind and open_run:
            runs[-1] = (runs[-1][0], start + len(bare))
        elif kind and kind != "operator" or (kind and re.fullmatch(r"[-−+±–—]|\\[a-z]+", bare)):
            runs.append((start, start + len(bare)))
        open_run = bool(kind) and len(bare) == len(word.lstrip("\"'*")) and bool(runs)
    return [run for run in runs if re.search(r"[\da-zA-Z\\√π∞]", text[run[0] : run[1]])]


def _kind(token: str) -> str:
    """`number`, `operator`, `formula`, or empty for a word."""
    if not token or token in ("a", "A", "I"):
        return ""
    if SPAN.fullmatch(token) or PLAIN.fullmatch(token) and re.search(r"\d", token) or CLOCK.fullmatch(token):
        return "number"
    if OPERATOR.fullmatch(token):
        return "operator"
    if RANGE.fullmatch(token) or (WITH_UNIT.fullmatch(token) and re.search(r"\d", token)):
        return "number"
    if "\\" in token:
        return "formula"
    if FORMULA.fullmatch(token) and not LONG_WORD.search(token):
        return "formula" if re.search(r"[\d=+^√π∞{}]", token) or len(token.strip("(){}[].,")) == 1 else ""
    return ""


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'’]+", text.lower())


def _before(text: str, place: int) -> str:
    words = _words(text[max(0, place - 30) : place])
    return words[-1] if words else ""


def _with_unit(run: str, rest: str) -> str | None:
    """A run's value with the unit that follows; None if it is a range, or a dash stands before it."""
    run = _side(run.strip())
    if RANGE.fullmatch(run) or re.match(r"[-−+–—]\s", run):
        return None
    if half := re.match(r"\s*([ap]\.?m\.?)(?![a-z])", rest, re.IGNORECASE):
        return f"{run} {half[1]}"
    if read_quantity(run) is None or re.match(r"\s*[,;(]", rest):
        return run
    unit: list[str] = []
    for word in rest.split()[:4]:
        bare = word.strip(".,;:!?()\"'*")
        if bare.lower() in NO_UNIT or not UNIT.fullmatch(bare):
            break
        unit.append(bare)
        if bare != word:
            break
    scaled = next((n for n, word in enumerate(unit) if word.lower() not in SCALED), len(unit))
    unit = unit[: scaled + 1] if len(unit) <= scaled + 1 else unit[:scaled]  # `5 red apples`: which word is it?
    if read_quantity(" ".join([run, *unit])) is None:
        unit = []
    compound = re.match(rf"\s*{re.escape(' '.join(unit))},?\s*(?:and\s+)?(\d[\d.,]*\s+[a-zA-Z]+)", rest) if unit else None
    return " ".join([run, *unit, *([compound[1]] if compound else [])])


def _side(run: str) -> str:
    """The last side of a chain of equations; an equation that gives a letter its value stays whole."""
    inner = undressed(run[1:-1]) if SPAN.fullmatch(run) and run.count("$") == 2 else run
    parts = re.split(r"(?<![<>!:\\])(?:=|≈|\\approx(?![a-z]))", inner)
    if len(parts) == 1 or "\\begin" in inner or (len(parts) == 2 and re.fullmatch(r"\s*(?:[a-zA-Z]|\\[a-z]+)(?:\([a-z]\))?\s*", parts[0])):
        return run
    if inner.count(",") and re.search(r"=[^=]*[,;][^=]*=", inner):  # several equations
        return run
    side = undressed(parts[-1])
    return re.sub(r"^([-−])\s+", r"\1", side)
