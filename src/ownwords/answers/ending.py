"""The end of a text: where the answer to our question ends, and what its last sentence concludes in."""

from __future__ import annotations

import re

from ownwords.answers.runs import undressed
from ownwords.answers.values import LETTER, SENTENCE_END, choice_of, conclusion_of

TURN = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end|EOT)\|>|</s>|<eos>|<end_of_turn>")
"""words that end a turn"""
NEXT = re.compile(
    r"(?:\n[ \t]*|(?<=[.\d$)\]}*>])[ \t]{1,3})(?:\*\*|#{1,4} )?(?:next |another |new )?"
    r"(?:Question|Q|Problem|Exercise|Example|User|Human|Instruction|Input) ?\d{0,3}(?:\*\*)?:"
    r"|\n[ \t]*(?:\*\*|#{1,4} |\[)?(?:Question|Problem|Exercise|Example|Instruction)"
    r"(?: \d{1,3})?(?:\*\*|[\].])?[ \t]*\n"
    r"|\n[ \t]*\[INST\]|<\|user\|>",
    re.IGNORECASE,
)
"""the label of another question, which a base model goes on with after its answer"""
HOPE = re.compile(r"I hope it is correct\.?", re.IGNORECASE)
"""the last words of a solution in Minerva's prompt"""
MARK = re.compile(r"####[^#\n]*\d[^#\n]*\n")
FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*$", re.MULTILINE)
CODE = re.compile(r"python3?|py|sympy|cpp|c|java|javascript|js|r|matlab|octave|julia|bash|sh|sql", re.IGNORECASE)
OUTPUTS = ("output", "stdout", "result", "results", "console")
CLOSER = re.compile(
    r"(?:let me know|i hope|hope|feel free|if you (?:have|need|want|would|'d|like)|would you|do you|please|is there|"
    r"happy to|good luck|great|note|alternatively)\b|\(",
    re.IGNORECASE,
)
CUE = re.compile(
    r"^(?:and |but )?(?:so|thus|therefore|hence|then|finally|consequently)\b"
    r"|\b(?:total|altogether|result|conclude|equals?)\b|[=∴]"
    r"|\\(?:therefore|implies)",
    re.IGNORECASE,
)
CUT = re.compile(r"(?:\W+[a-zA-Z]+){4}\W*$|\b(?:and|so|then|which|but|we|or|the|of|to)$", re.IGNORECASE)
"""how a sentence ends that was cut behind its number"""
UNSURE = re.compile(
    r"\b(?:(?:I|we) (?:cannot|can't|can not)|cannot be (?:found|solved|determined)|unable|sorry|"
    r"don't know|not sure|unsure|not enough)\b",
    re.IGNORECASE,
)
STRONG = re.compile(r"(?:so|thus|therefore|hence|finally|in (?:total|conclusion)|consequently)\b", re.IGNORECASE)
TAIL = 4000
"""characters at the end that are read"""
DISPLAY = re.compile(r"\\\[((?:(?!\\\[).){1,400}?)\\\]|\$\$([^$]{1,400})\$\$", re.DOTALL)
UNFINISHED = re.compile(r"[\W_]*\d(?:[\d.,]*\d)?(?:\s*[-+*×]\s*\W?\d(?:[\d.,]*\d)?)+[.$\s]*")
"""a sum that a sentence ends with and does not work out"""
LOOPED, LOOPED_FORM = 3, 8
"""how often a sentence, or a sentence but for its numbers, may stand in a text that is no loop"""


def own_turn(text: str) -> str:
    """The text up to the end of its turn."""
    turn = TURN.search(text)
    return text[: turn.start()] if turn else text


def own_part(text: str, first_answer: int | None) -> str:
    """The text up to where, after its first answer, it invents another question."""
    if first_answer is None:
        return text
    if other := NEXT.search(text, first_answer):
        text = text[: other.start()]
    if hope := HOPE.search(text, first_answer):
        text = text[: hope.end()]
    mark = MARK.search(text)
    if mark and "?" in text[mark.end() :] and "####" in text[mark.end() :]:
        text = text[: mark.end()]
    return text


def without_code(text: str) -> str:
    """A text with the lines of its code empty, which state nothing; what the code has printed stays."""
    if "```" not in text and "<llm-code>" not in text:
        return text
    lines, inside, coded = [], False, False
    for line in text.split("\n"):
        mark = line.strip()
        if mark.startswith("```"):
            coded = not inside and bool(CODE.fullmatch(mark[3:].strip()))
            inside = not inside
        elif mark in ("<llm-code>", "</llm-code>"):
            coded = mark == "<llm-code>"
        elif coded:
            line = ""
        lines.append(line)
    return "\n".join(lines)


def ending(text: str, form: str) -> tuple[str, str] | None:
    """(answer, rule) of a plain text that states none: printed results, an option's letter, or a number."""
    fences = list(FENCE.finditer(text))
    if fences:
        last = text[fences[-1].end() :]
        if not last.strip() or len(fences) % 2:
            return _printed(text, fences)
        text = last
    tail = DISPLAY.sub(_in_line, text[-TAIL:])
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    if not lines:
        return None
    if form == "choice":
        letter = _letter(lines)
        return (letter, "letter") if letter else None
    sentence = _last_sentence(lines)
    number = conclusion_of(sentence) if sentence and not _loops(text, sentence) else None
    return (number, "number") if number and not UNFINISHED.fullmatch(number) else None


def _in_line(display: re.Match[str]) -> str:
    """Display math as a part of its sentence."""
    inner = " ".join((display[1] or display[2]).split())
    stop = "." if inner.endswith(".") else ""
    return f" ${inner.rstrip('. ')}${stop} "


def _printed(text: str, fences: list[re.Match[str]]) -> tuple[str, str] | None:
    """The line that code has printed, if that ends the text; of several lines any may be the answer."""
    if len(fences) % 2:
        return None
    name = (
        fences[-2][1]
        or (re.search(r"(\w+)\W{0,4}$", text[max(0, fences[-2].start() - 40) : fences[-2].start()]) or " x")[1]
    )
    if name.lower() not in OUTPUTS:
        return None
    printed = text[fences[-2].end() : fences[-1].start()].strip().splitlines()
    if len(printed) != 1 or re.search(r"\w*(?:Error|Exception|Warning|Traceback|Timeout)\b", printed[0]):
        return None
    value = conclusion_of(printed[0]) or undressed(printed[0])
    return (value, "printed") if value and len(value) < 200 else None


def _letter(lines: list[str]) -> str | None:
    """An option's letter on the last line, after `so` and the like or alone; or on the first one, if on no other."""
    last = re.sub(r"^(?:so|thus|therefore|hence|finally)\b[,:]?\s*", "", undressed(lines[-1]), flags=re.IGNORECASE)
    alone = LETTER.fullmatch(undressed(last))
    if alone and not alone["rest"].strip(" .):"):
        return alone["round"] or alone["upper"] or (alone["lower"] if len(lines[-1]) < 4 else None)
    named = [
        line for line in lines if re.match(r"[*_]*(?:\([A-J]\)|[A-J][.)]|[B-J]:|[A-J]$)", line)
    ]  # `A:` may be for answer
    return choice_of(lines[0]) if named == lines[:1] else None


def _last_sentence(lines: list[str]) -> str | None:
    """The last sentence that is no offer, question or good wish; None if it was cut, or says nothing for sure."""
    passed = 0
    for line in reversed(lines[-6:]):
        sentences = SENTENCE_END.split(line[-2000:])
        for sentence in reversed(sentences):
            if (
                CLOSER.match(sentence)
                or sentence.endswith("?")
                or (sentence.endswith("!") and not re.search(r"\d", sentence))
            ):
                continue
            if (passed and not STRONG.match(sentence)) or "answer" in sentence.lower():
                return None
            if re.search(r"[\d√π]", sentence) or "$" in sentence:
                only = len(lines) == 1 and len(sentences) == 1 and re.search(r"[\d%)}\]$]$", sentence)
                ended = re.search(r"[.!$\])*}]$", sentence) and not re.search(r"\.\.\.$|…$", sentence)
                if UNSURE.search(" ".join(sentences)):
                    return None
                if not ended and "=" not in sentence and CUT.search(sentence):
                    return None
                bare = conclusion_of(sentence) == undressed(sentence)
                return sentence if (only or ended or bare or CUE.search(sentence)) else None
            if not re.search(r"[.!]$", sentence) or passed:
                return None
            passed += 1
    return None


def _loops(text: str, sentence: str) -> bool:
    """Whether the last sentence stands in the text again and again."""
    if len(sentence) < 6:
        return False
    form, forms = (re.sub(r"\d+", "0", part) for part in (sentence, text))
    return text.count(sentence) >= LOOPED or forms.count(form) >= LOOPED_FORM
