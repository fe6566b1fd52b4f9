"""Where a text states its answer: `The answer is 18`, `**Answer:** 18`, `#### 18`, `<answer> B </answer>`, `(B) is correct`.

Each cue is followed by a passage, up to the next cue; what value the passage states is read elsewhere (`values`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ownwords.answers.runs import undressed
from ownwords.answers.values import SENTENCE_END, choice_of, conclusion_of, value_of

PASSAGE = 500
"""characters after a cue that are read"""
RESULTS = r"(?:option|choice|result|value|response|solution|statement|letter|one)"
CUE = re.compile(
    # a heading: nothing but the word, and the answer below it
    r"(?P<heading>^[ \t#>*_-]{0,12}(?:the )?(?:final |correct )?answers?[ \t*_.:]{0,8}$)"
    r"|(?P<hash>(?<!#)####(?!#))"
    r"|[<\[](?P<tag>(?:final_?)?ans(?:wer)?)[>\]]"
    r"|(?P<label>\b(?:answer|ans)s?\b[\"'*_)\]}]{0,4} ?(?:\([^()\n]{1,40}\))? ?(?::|=>|=|→|⇒|->))"
    rf"|(?P<state>\b(?:answers?|(?:correct|right|best|final|appropriate) {RESULTS})"
    r"(?:,? (?:to|for|of|in) [^.?!\n:=]{1,100}?)?(?:,? (?:therefore|then|thus|hence),?)?\s+"
    r"(?:is|are|=|equals?|would be|should be|must be|will be|has to be|comes (?:out )?to|(?:appears|seems|turns out) to be)\b:?)"
    r"|(?P<chosen>\b(?:I|we)(?: would| will|'d|'ll)? (?:choose|select|pick|go with):? (?=\*{0,2}(?:(?:option|answer) )?\(?[A-J]\b))"
    rf"|(?P<choose>\b(?:correct|right|best|final|appropriate) {RESULTS}\b[\"'*_]{{0,4}} ?:)"
    r"|(?P<reversed>\b(?:is|are) (?:the|our|my) (?:final |correct |right |best )?answer\b)"
    r"|(?P<letter>(?:\b(?:option|choice|answer)s? )?(?:\([A-J]\)|\b[A-J]\b)\*{0,2} is "
    r"(?:the )?(?:(?:correct|right|best|final)\b|answer\b))",
    re.IGNORECASE | re.MULTILINE,
)
WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textnormal|mathrm|mathbf|mbox)\s?\{([^{}]*)\}")
BOLD = re.compile(r"\*\*([^*\n]+)\*\*|(?<!\w)__([^_\n]+)__(?!\w)")
SUPPOSED = re.compile(
    r"\b(?:if|whether|suppose|unless|assum\w+|check|verify|guess|wrong|incorrect|possible|expected|previous|not|n't)\b"
    r"[\s:]*(?:that )?(?:(?:the|our|my|your|this|an?) )?(?:(?:final|correct|right|best) )?$",
    re.IGNORECASE,
)
RETRACTED = re.compile(
    r"\b(?:wait|oops|correction|(?:made|is) an? (?:mistake|error)|(?:this|that|it)(?:'s| is| was) (?:wrong|incorrect|not right)|"
    r"let(?: me|'s|us) (?:re-?check|reconsider|re-?do|re-?calculate|re-?compute|correct|try again))\b",
    re.IGNORECASE,
)
HEADING = re.compile(
    r"\d{1,2}[.)]\s+\S|(?:step|part|case|section|method|solution|explanation|problem|question)\b", re.IGNORECASE
)
LOOK_BACK = 60
MOST = 200
"""cues that are read; of a text with more of them, the first and the last"""


@dataclass(frozen=True)
class Statement:
    """A cue and the passage after it."""

    start: int
    """where the cue begins"""
    end: int
    """where its passage ends"""
    rule: str
    """`marked` for marks and labels, `stated` for words of a sentence"""
    value: str
    """what it states; empty if that cannot be told"""


def plain(text: str) -> str:
    """A text without bold, and with `\\text{the answer is}` as words."""
    text = WRAPPED.sub(lambda m: f" {m[1]} " if "answer" in m[1].lower() else m[0], text)
    return BOLD.sub(lambda m: m[1] or m[2], text)


def statements(text: str, kind: str) -> list[Statement]:
    """The statements in a plain text that state a value, in order."""
    cues = list(CUE.finditer(text))
    ends = [cue.start() for cue in cues[1:]] + [len(text)]
    read = list(zip(cues, ends))
    found = (
        _statement(text, cue, end, kind)
        for cue, end in (read if len(read) < MOST else read[: MOST // 2] + read[-MOST // 2 :])
    )
    return [statement for statement in found if statement.value]


def _statement(text: str, cue: re.Match[str], end: int, kind: str) -> Statement:
    name = cue.lastgroup or ""
    end = min(end, cue.end() + PASSAGE)
    passage = text[cue.end() : end]
    if name != "tag":
        passage = re.split(r"[<\[]/", passage, maxsplit=1)[0]
    rule = "marked" if name in ("heading", "hash", "tag", "label") else "stated"
    before = text[max(0, cue.start() - LOOK_BACK) : cue.start()]
    if name == "letter":
        value = "" if SUPPOSED.search(before) else choice_of(cue[0][: cue[0].lower().rindex(" is ")]) or ""
        return Statement(cue.start(), cue.end(), rule, value if kind == "choice" else "")
    if name == "reversed":
        value = conclusion_of(re.split(r"[.!?]\s|\n", before)[-1]) if kind != "choice" else None
        return Statement(cue.start(), cue.end(), rule, value or "")
    if name == "chosen" and kind != "choice":
        return Statement(cue.start(), end, rule, "")
    if name == "tag":
        closed = re.match(r"(.*?)[<\[]/", passage, re.DOTALL)
        inner = closed[1] if closed else passage
        value = value_of(undressed(inner), kind) or (_alone(inner) if closed and kind != "choice" else None)
        whole = closed or (kind == "choice" and cue.end() + len(inner) == len(text) and len(inner.strip()) < 4)
        return Statement(cue.start(), end, rule, value or "" if whole else "")
    passage = _block(passage)
    if SUPPOSED.search(before) or re.match(r"[^.!\n]*\?", passage) or (name == "hash" and HEADING.match(passage)):
        return Statement(cue.start(), end, rule, "")
    value = value_of(passage, kind)
    if value is None and name in ("heading", "label") and kind != "choice" and text.rstrip().endswith(passage.rstrip()):
        value = _alone(passage)
    return Statement(cue.start(), end, rule, value or "")


def _alone(passage: str) -> str | None:
    """What a passage concludes in that is one sentence: of more, one does not know which is the answer."""
    return None if SENTENCE_END.search(passage.strip()) else conclusion_of(passage.strip())


def _block(passage: str) -> str:
    """The first line with words on it, or the first display of math."""
    passage = passage.lstrip(' \t\n*_:>"')
    display = re.match(r"\$\$.+?\$\$|\\\[.+?\\\]", passage, re.DOTALL)
    if display:
        return " ".join((display[0][2:-2] + passage[display.end() :].split("\n")[0]).split())
    return passage.split("\n")[0]
