"""Where a text states its answer: `The answer is 18`, `**Answer:** 18`, `#### 18`, `<answer>B</answer>`, ...

Each cue is followed by a passage, up to the next cue; what value the passage states is read elsewhere (`values`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ownwords.answers.runs import undressed
from ownwords.answers.text import is_words
from ownwords.answers.values import SENTENCE_END, conclusion_of, value_of

PASSAGE = 500
"""characters after a cue that are read"""
RESULTS = r"(?:option|choice|result|value|response|solution|statement|letter|one)"
GOOD = r"(?:correct|right|best|final|appropriate|closest)"
CUE = re.compile(
    # a heading: nothing but the word, and the answer below it
    r"(?P<heading>^[ \t#>*_-]{0,12}(?:the )?(?:final |correct )?answers?[ \t*_.:]{0,8}$)"
    r"|(?P<hash>(?<!#)####(?!#))"
    r"|[<\[](?P<tag>(?:final_?)?ans(?:wer)?)[>\]]"
    r"|(?P<label>\b(?:answer|ans)s?\b[\"'*_)\]}]{0,4} ?(?:\([^()\n]{1,40}\))? ?(?::|=>|=|→|⇒|->))"
    rf"|(?P<state>\b(?:answers?(?: choice| option)?|{GOOD} {RESULTS})(?: \([^()\n]{{1,40}}\))?"
    r"(?:,? (?:to|for|of|in|that|which|we|you|I) [^.?!\n:=]{1,100}?)?(?:,? (?:therefore|then|thus|hence),?)?\s+"
    r"(?:is|are|=|equals?|(?:would|should|must|will|has to) be|comes (?:out )?to|"
    r"(?:appears|seems|turns out) to be)\b:?)"
    r"|(?P<chosen>\b(?:I|we)(?: would| will|'d|'ll)? (?:choose|select|pick|go with):?"
    r" (?=\*{0,2}(?:(?:option|answer) )?\(?[A-J]\b))"
    rf"|(?P<choose>\b{GOOD} {RESULTS}\b[\"'*_]{{0,4}} ?:)"
    r"|(?P<reversed>\b(?:is|are) (?:the|our|my) (?:final |correct |right |best )?answer\b)"
    # `Vitamin C is the best source` names no option
    r"|(?P<letter>(?:\b(?:option|choice|answer|letter|so|thus|therefore|hence|that)s?,? (?:\([A-J]\)|[A-J])|\([A-J]\)"
    r"|(?:^|(?<=[.:;!?] ))[A-J])\*{0,2} is "
    r"(?:the )?(?:(?:correct|right|best|final)\b|answer\b)(?! (?:only|if|when)\b))",
    re.IGNORECASE | re.MULTILINE,
)
WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textnormal|mathrm|mathbf|mbox)\s?\{([^{}]*)\}")
ALIGNED = re.compile(
    r"\\begin\{(align|aligned|equation|gather|gathered|split)\*?\}(.{0,500}?)\\end\{\1\*?\}", re.DOTALL
)
DOUBLED = re.compile(r"(\\\[)\s*\\\[|(\\\])\s*\\\]|\$\$\s*(?=\\\[)|(?<=\\\])\s*\$\$")
"""display math in display math"""
CALCULATED = re.compile(r"<<[^<>\n]{0,200}>>")
"""GSM8K's `<<9*2=18>>`"""
BOLD = re.compile(r"\*\*([^*\n]+)\*\*|(?<!\w)__([^_\n]+)__(?!\w)")
SUPPOSED = re.compile(
    r"\b(?:if|whether|suppose|unless|assum\w+|check|verify|guess|wrong|incorrect|possible|expected|previous|not|n't|"
    r"thinks|says|claims|believes)\b"
    r"[\s:]*(?:that )?(?:(?:the|our|my|your|this|an?) )?(?:(?:final|correct|right|best) )?$",
    re.IGNORECASE,
)
IF = re.compile(r"\b(?:if|had|were)\b[^.!?\n]*$", re.IGNORECASE)
RETRACTED = re.compile(
    r"\b(?:wait|oops|correction|(?:made|is) an? (?:mistake|error)|"
    r"(?:this|that|it)(?:'s| is| was) (?:wrong|incorrect|not right)|"
    r"let(?: me|'s|us) (?:re-?check|reconsider|re-?do|re-?calculate|re-?compute|correct|try again))\b",
    re.IGNORECASE,
)
CLOSING = re.compile(r"[<\[]/")
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
    rule: str
    """`marked` for marks and labels, `stated` for words of a sentence"""
    value: str
    """what it states; empty if that cannot be told"""


def plain(text: str) -> str:
    """A text without bold, with `\\text{the answer is}` as words, and of aligned equations the last line."""
    text = WRAPPED.sub(lambda m: f" {m[1]} " if "answer" in m[1].lower() else m[0], text)
    text = CALCULATED.sub("", text)
    text = BOLD.sub(lambda m: m[1] or m[2], text)
    return DOUBLED.sub(lambda m: m[1] or m[2] or " ", ALIGNED.sub(lambda m: rf" \[ {_last_line(m[2])} \] ", text))


def _last_line(aligned: str) -> str:
    lines = [line.replace("&", " ").strip() for line in aligned.split(r"\\")]
    return next((line.removeprefix("=").strip(" .") for line in reversed(lines) if line), "")


def statements(text: str, form: str) -> list[Statement]:
    """The statements in a plain text that state a value, in order."""
    cues = list(CUE.finditer(text))
    ends = [cue.start() for cue in cues[1:]] + [len(text)]
    read = list(zip(cues, ends))
    found = (
        _statement(text, cue, end, form)
        for cue, end in (read if len(read) < MOST else read[: MOST // 2] + read[-MOST // 2 :])
    )
    return [statement for statement in found if statement.value]


def _statement(text: str, cue: re.Match[str], end: int, form: str) -> Statement:
    name = cue.lastgroup or ""
    before = text[max(0, cue.start() - LOOK_BACK) : cue.start()]
    passage = text[cue.end() : min(end, cue.end() + PASSAGE)]
    if SUPPOSED.search(before) or ("would" in cue[0] and IF.search(before)):
        value = None
    elif name == "letter":
        value = re.findall(r"[A-Ja-j]\b", cue[0][: cue[0].lower().rindex(" is ")])[-1] if form == "choice" else None
    elif name == "reversed":
        value = conclusion_of(re.split(r"[.!?]\s|\n", before)[-1]) if form != "choice" else None
    elif name == "chosen" and form != "choice":
        value = None
    elif name == "tag":
        value = _tagged(passage, form, cut=cue.end() + len(passage) == len(text))
    else:
        value = _passage(name, CLOSING.split(passage, maxsplit=1)[0], text[cue.end() :], form)
    return Statement(cue.start(), "marked" if name in ("heading", "hash", "tag", "label") else "stated", value or "")


def _tagged(passage: str, form: str, cut: bool) -> str | None:
    """The value between tags. If the closing one is missing where the text ends, it was the word to stop at, or the
    text was cut: a letter is whole all the same."""
    inner, *closed = CLOSING.split(passage, maxsplit=1)
    if closed:
        return value_of(undressed(inner), form) or (_alone(inner) if form != "choice" else None)
    return value_of(undressed(inner), form) if form == "choice" and cut and len(inner.strip()) < 4 else None


def _passage(name: str, passage: str, rest: str, form: str) -> str | None:
    """The value in the first line or display behind a cue; `rest` is all of the text behind it."""
    line = _block(passage)
    more = rest[rest.find(line) + len(line) :].strip()
    if re.match(r"[^.!\n]*\?", line) or (name == "hash" and HEADING.match(line)):
        return None
    if name in ("label", "heading") and "=" in more and re.search(r"\d\s*=", line):
        return None  # the first line of a worked solution
    value = value_of(line, form)
    if name == "hash" and more and value and form == "math" and not re.search(r"[\d\\$]", value):
        return None  # a heading
    if value is None and name in ("heading", "label") and form != "choice" and not more:
        value = _alone(line)
    return value


def _alone(passage: str) -> str | None:
    """What a passage of one sentence concludes in, or its words: of more, one does not know which is the answer."""
    passage = passage.strip()
    if SENTENCE_END.search(passage):
        return None
    return conclusion_of(passage) or (undressed(passage) if is_words(passage) else None)


def _block(passage: str) -> str:
    """The first line with words on it, or the first display of math."""
    passage = re.sub(r"^[\s*_:\"]*\n[\s>]*", "", passage).lstrip(' \t*_:"')
    display = re.match(r"\$\$.+?\$\$|\\\[.+?\\\]", passage, re.DOTALL)
    if display:
        return " ".join((display[0][2:-2] + passage[display.end() :].split("\n")[0]).split())
    return passage.split("\n")[0]
