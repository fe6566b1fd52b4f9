"""The value that a short passage states: a letter, a formula, a number with its unit, a word.

A passage is cut into words and runs of mathematics: `she has 3 + 4 = 7 apples left` has one run, which ends in 7, and 7
counts apples. What is not surely one value is none.
"""

from __future__ import annotations

import re

from ownwords.answers.quantity import read_quantity
from ownwords.answers.runs import RANGE, SPAN, runs_of, undressed

LONGEST = 600
"""characters; a longer passage states no value"""
BECAUSE = r"(?:because|since|as|which|is|for|due|so|and|or|but|not)\b"
LETTER = re.compile(
    r"(?i:(?:the )?(?:correct |final |right )?(?:option|choice|answer|letter)?:? ?)"
    rf"(?:[(\[{{](?P<round>[A-Ja-j])(?:[)\]}}]|$)|(?P<upper>[A-J])(?![\w'’])(?:(?<![AI])|(?! (?!{BECAUSE})[a-z]))"
    r"|(?P<lower>[a-j])(?![\w'’ ]| [a-z]))(?P<rest>.*)",
    re.DOTALL,
)
"""an option's name at the beginning; `A car` and `I think` begin with words"""
FILLER = re.compile(
    r"(?:(?:indeed|therefore|thus|hence|simply|just|then|clearly|approximately|approx\.|about|roughly|around|exactly|"
    r"only|equal to|given by|found to be|now|also|still|definitely|most likely|likely|probably|that)\b,?|[:=≈]|->)\s*",
    re.IGNORECASE,
)
REASON = re.compile(
    r"[,;.]?\s+\(?(?i:because|since|as (?:it|the|we|this|they|that|there|required|desired)"
    r"|which|so|given|due to|but|rather than|"
    r"instead of|(?:and )?not|i\.e\.)(?!\w)|\s+[-–—]+\s+(?=[A-Za-z]{2})|[.!]\s+(?=[A-Z][a-z]|I\b|\$|\\[(\[])"
)
ROUNDED = re.compile(r"(≈|\\approx(?![a-z]))")
NAME = re.compile(r"\s*(?:[a-zA-Z]|\\[a-z]+)(?:\([a-z]\)|\^\{?\d+\}?)?\s*")
"""the side of an equation that makes it an answer as it stands: `x = 3`, `f(x) = 2x`; `x^2 = 9` is not solved"""
UNIT = re.compile(r"[a-zA-Z°%\\^{}]+[²³23]?")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*\]]*\s+(?=\S)")
NO_UNIT = frozenset(
    "left in to for from on at by with of than out over per and or plus minus times divided multiplied more less fewer "
    "each every a an the is are was were be that which who when where because since as total altogether after before "
    "so then if remaining today now during until away together combined again instead".split()
)
CHANGING = frozenset("plus minus times divided multiplied mod squared cubed factorial and or".split())
"""words after a number that make another number of it"""
JOINING = CHANGING | frozenset("to out in over of by more less fewer than past before after until".split())
"""words between two numbers that make one thing of them"""
SCALED = frozenset("square cubic sq cu hundred thousand million billion trillion dozen".split())
"""what stands between a number and its unit"""
PREPOSITIONS = frozenset(
    "for in from by at on with after before than between out per over under into since until and to the step problem "
    "question part equation option case of least most".split()
)
AFTERWARDS = frozenset("for in to of from by at on with per after during every each among between".split())
"""words behind a result that begin what it is the result for"""
NOT_ALONE = frozenset("than between step problem question part equation option case by under over least most".split())
VERBS = frozenset("is are was were has have had can will would should does do did be".split())
LINKING = VERBS | frozenset(
    "be equal equals get gets got make makes made take takes took cost costs earn earns earned spend spends spent "
    "need needs pay pays paid save saves saved receives require requires give gives gave contain contains weigh "
    "weighs about approximately only exactly total her him them us me you leaves left becomes remain remains "
    "another sell sells sold buy buys bought eat eats ate use uses used yields obtain "
    "collect collects collected".split()
)
"""words before the number that a sentence comes to"""
TWO = re.compile(r"\band\b.*\b(?:is|are|was|were)\b")
COMPOUND = re.compile(r" ?([a-zA-Z]+),? (?:and )?")
DOUBT = re.compile(
    r"(?:\b(?:not|cannot|never|(?:might|may|could) be|negative|minus|suppose|assum\w+|let)|n't)\b[^=]*$"
    r"|^if\b[^,]*$|^(?:first|given|we need|to find)\b",
    re.IGNORECASE,
)
"""before a number: it is denied, supposed or asked for, or the next word belongs to it"""
EQUALS = re.compile(r"\s+(?:is equal to|equals)\s+")
ARTICLE = re.compile(r"\b([aAI]) =")
"""a letter all the same"""
ABOUT = re.compile(
    r"(?<=[\d}$)%])\s*\((?:or|about|approx|which|i\.e\.|≈)[^()]*\)"
    r"|(?<=[\d}$)%]),?\s+(?:or|which is)\s+(?:about|approximately|roughly)\s.*"
)
"""another form of the value before it"""
NO_VALUE = frozenset(
    "the a an this that these those it its in as to of for from by not n't no-one wrong incorrect correct right given "
    "obtained found unclear different always never based also same what which how there here we i you he she they if "
    "let our my one your his her let's first to".split()
)
"""words that begin a phrase about an answer and not the answer"""


def value_of(passage: str, form: str) -> str | None:
    """The value that a passage begins with, as what follows `the answer is`."""
    text = undressed(passage.lstrip(" ,")[:LONGEST])
    while filler := FILLER.match(text):
        text = text[filler.end() :]
    text = undressed(text)
    if form == "free":  # a task's own scorer reads answers of every form
        return text or None
    if not text or re.match(r"(?:not|never|n't)\b", text, re.IGNORECASE):
        return None
    if form == "choice":
        return choice_of(text)
    text = _spelled(text)
    span = SPAN.match(text)
    start = span.end() if span else 0
    reason = REASON.search(text, start)
    text = undressed(text[: reason.start()] if reason else text)
    runs, words = runs_of(text), text.split()
    if not words:  # nothing but a reason
        return None
    if not runs or runs[0][0] > 0:
        short = len(words) <= 4 and words[0].lower().strip(".,") not in NO_VALUE and not VERBS & {*text.lower().split()}
        return text if short and re.fullmatch(r"[\w' -]+", text) and not runs else None
    end = runs[0][1]
    if len(runs) > 1 and _compound(text[end : runs[1][0]]):
        return text if not VERBS & {*_words(text[end:])} else None
    between = _words(text[end : runs[1][0]]) if len(runs) > 1 else []
    after = _words(text[end:])
    if (len(runs) > 1 and (not between or JOINING & {*between})) or (after and after[0] in CHANGING):
        return None if VERBS & {*after} or len(after) > 12 else text
    return None if VERBS & {*after} or len(after) > 8 else _with_unit(text[:end], text[end:])


def choice_of(text: str) -> str | None:
    """An option's letter, with the option's text where that follows; else the text itself, which may be an option's."""
    text = re.sub(r"\\\((\(?[A-J]\)?)\\\)", r"\1", text)
    bare = undressed(re.sub(r"\\(?:text|textbf|mathrm|mathbf|mbox|textrm)\s*\{([^{}]*)\}", r"\1", text))
    found = LETTER.match(bare.replace("$", "") if bare.count("$") > 1 else bare)
    if not found:
        reason = REASON.search(text)
        text = undressed(text[: reason.start()] if reason else text)
        first = re.match(r"[\w']*", text)
        about = first and first[0].lower() in NO_VALUE and len(text.split()) < 3
        return text if text and len(text) < 200 and not about else None
    letter, rest = (found["round"] or found["upper"] or found["lower"]), found["rest"]
    if re.match(
        r"[\s,/&]*(?:(?:and|or)\b\s*(?:maybe |also |option )?|[,/&]\s*)(?:\(?[A-J]\)?|\([a-j]\))(?![\w'])",
        rest,
    ):
        return bare[:80]  # two letters
    reason = REASON.search(rest)
    said = rest[: reason.start()] if reason else rest
    marked = found["round"] or re.match(r"[.):]", said)
    option = undressed(said.lstrip(".):").lstrip().partition("\n")[0]) if marked else ""
    whole = f"({letter})" if found["round"] else letter
    if option and re.match(r"(?:[,;]|is\b|as\b|and\b)", option):
        option = ""
    return f"{letter}) {option}" if option else whole


def conclusion_of(sentence: str) -> str | None:
    """The value that a sentence concludes in: the only run of mathematics, or the last one if it stands at the end."""
    text = undressed(sentence)
    if not text or len(text) > LONGEST or sentence.rstrip(" *\"')").endswith("?"):
        return None
    text = re.sub(
        r"[\s,]+(?:is|as) (?:the|our|my) (?:final |correct |required |right )?(?:answer|solution|result)\b.*",
        "",
        _spelled(text),
    )
    runs = runs_of(text)
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
    if "=" in text and (result := _result_of(text, runs)):
        return result
    if DOUBT.search(text[: runs[-1][0]]):
        return None
    begin, end = runs[-1]
    for run in runs[-2::-1]:
        if not _compound(text[run[1] : begin]):
            break
        begin = run[0]
    before, after = _before(text, begin), _words(text[end:])
    if len(runs) == 1 or begin == runs[0][0]:
        doubtful = before in NOT_ALONE
    else:
        tied = (
            "=" in text[begin:end]
            or text[begin] in "$€£"
            or before in LINKING
            or re.search(r"[=:(]\s*$|,? or\s+$", text[:begin])
        )
        doubtful = not tied or before in PREPOSITIONS or len(after) > 6 or bool(TWO.search(text[runs[-2][1] : begin]))
    if doubtful:
        return None
    if after and after[0] in CHANGING:
        return None
    last = _with_unit(text[runs[-1][0] : end], text[end:])
    return text[begin : runs[-1][0]] + last if last else None


def _result_of(text: str, runs: list[tuple[int, int]]) -> str | None:
    """What the last equation of a sentence comes to: `840 kids - 825 kids = 15 kids`, `= 5 hours to read 9 pages`."""
    for place, (begin, end) in reversed(list(enumerate(runs))):
        run = text[begin:end]
        if "=" not in run or re.search(r"[<>!:]=", run) or _side(run) == run.strip():
            if "=" in run:
                return None
            continue
        ahead = [(begin, end), *runs[place + 1 :]]
        last = 0
        while last + 1 < len(ahead) and _compound(text[ahead[last][1] : ahead[last + 1][0]]):
            last += 1
        after = text[ahead[last][1] : ahead[-1][0]] if last + 1 < len(ahead) else ""
        said = {*_words(after)}
        if re.search(r"[,;.]\s", after) or VERBS & said or (after and not AFTERWARDS & said):
            return None
        first, unit = _side(run), _with_unit(text[ahead[last][0] : ahead[last][1]], text[ahead[last][1] :])
        return unit if not last else first + text[end : ahead[last][0]] + (unit or "")
    return None


def _spelled(text: str) -> str:
    """A passage with `equals` as its sign and without a second form of its value."""
    return ARTICLE.sub(r"\1=", EQUALS.sub(" = ", ABOUT.sub("", text)))


def _compound(between: str) -> bool:
    """Whether it stands between the numbers of `2 hours and 30 minutes`."""
    unit = COMPOUND.fullmatch(between)
    return unit is not None and unit[1].lower() not in NO_UNIT | LINKING | JOINING


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
    inner = (
        run.strip("$") if SPAN.fullmatch(run) and run[0] == "$" else run[2:-2].strip() if SPAN.fullmatch(run) else run
    )
    if read_quantity(inner) is None or re.match(r"\s*[,;(]", rest):
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
    if not unit or read_quantity(" ".join([inner, *unit])) is None:
        return run
    return " ".join([inner, *unit])


def _side(run: str) -> str:
    """The last side of a chain of equations; an equation that gives a letter its value stays whole."""
    inner = undressed(run[1:-1]) if SPAN.fullmatch(run) and run.count("$") == 2 else run
    exact, about, rounded = re.split(ROUNDED, inner, maxsplit=1) if ROUNDED.search(inner) else (inner, "", "")
    inner = rounded if about and re.search(r"\d\.\d", exact) else exact
    if about:
        run = undressed(inner)
    parts = re.split(r"(?<![<>!:\\])=", inner)
    if len(parts) == 1 or "\\begin" in parts[-1]:
        return run
    if len(parts) == 2 and (NAME.fullmatch(parts[0]) or re.fullmatch(r"\s*0\W*", parts[1])):
        return run
    if inner.count(",") and re.search(r"=[^=]*(?:,(?!\d{3})|;)[^=]*=", inner):  # several equations
        return run
    side = undressed(parts[-1])
    return re.sub(r"^([-−])\s+", r"\1", side)
