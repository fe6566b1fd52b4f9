"""The options of a multiple choice, and which of them the key of a row names.

Labels count: where a source gives its options labels, its key is one of them and nothing else, since the number 3 may
be a label and the text of another option. Without labels a key is a letter, a place or an option's text, and one that
may be two of them is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from typing import Any

from ownwords.answers.choices import LETTERS, read_letter
from ownwords.answers.text import same_text
from ownwords.problems.lettered import lettered
from ownwords.problems.literals import read_literal

OPTION_NAMES = ("options", "choices", "answer_choices", "answer_options", "alternatives", "endings")
INDEX_NAMES = ("answer_index", "answer_idx", "correct_index", "correct_idx")
APART = re.compile(r"(?i)((in)?correct[ _]answers?|distractor|wrong[ _]answer)[ _]?\d?")
"""GPQA's `Correct Answer` and `Incorrect Answer 1`, SciQ's `correct_answer` and `distractor1`"""
COLUMN = re.compile(r"(?:(?i:option|choice|opt?)[ _]?(?P<one>[A-Za-z]|\d)|(?P<alone>[A-Z]))")
"""options in columns of their own: `A`, `B`, ...; `option_a`; `opa`; `choice1`"""
LABEL_KEYS = ("label", "labels", "key", "letter")
TEXT_KEYS = ("text", "texts", "value", "content")


@dataclass(frozen=True)
class Options:
    """What stands to choose from."""

    field: str
    """that of the row, for messages"""
    texts: list[str]
    labels: list[str] | None
    """as the source has them; None where it has none"""
    are_text: bool = True
    """the source has texts, not numbers"""

    @property
    def metadata(self) -> dict[str, list[str]]:
        """What the judge needs; the labels if they cannot be taken for the letters that the question shows."""
        letters = LETTERS[: len(self.texts)]
        if self.labels is None or any(label.upper() in letters for label in self.labels):
            return {"options": self.texts}
        return {"options": self.texts, "labels": self.labels}

    def place(self, field: str, answer: Any) -> int:
        """The option that a key names. Raises ValueError naming the field."""
        if isinstance(answer, list) and len(answer) == 1:
            [answer] = answer
        if isinstance(answer, float) and answer.is_integer():  # pandas' whole numbers beside an empty cell
            answer = int(answer)
        text = str(answer).strip()
        found = self._labelled(text) if self.labels else self._unlabelled(field, answer, text)
        if len(found) == 1:
            return found.pop()
        if found:
            seen = " and ".join(LETTERS[i] for i in sorted(found))
            raise ValueError(f"the field {field!r} holds {answer!r}, which may be {seen} of the field {self.field!r}")
        names = ", ".join(self.labels or LETTERS[: len(self.texts)]) + ("" if self.labels else ", or an option's text")
        raise ValueError(f"the field {field!r} holds {answer!r}, expected one of {names}")

    def _labelled(self, text: str) -> set[int]:
        assert self.labels is not None
        for same in (str, str.casefold, lambda label: label.casefold().strip("()[].: ")):
            if found := {i for i, label in enumerate(self.labels) if same(label) == same(text)}:
                return found
        return self._letter(text) if self.labels == [*LETTERS[: len(self.labels)]] else set()

    def _unlabelled(self, field: str, answer: Any, text: str) -> set[int]:
        place = {int(text)} & {*range(len(self.texts))} if re.fullmatch(r"\d\d?", text) else set()
        number = isinstance(answer, int) and not isinstance(answer, bool)
        if field.lower() in INDEX_NAMES or (number and self.are_text):
            return place or self._letter(text)
        if len(same := {i for i, option in enumerate(self.texts) if option == text}) > 1:
            same = set()
        return place | self._letter(text) | same

    def _letter(self, text: str) -> set[int]:
        """`B`, `(b)`, `B) 10` if 10 is the text of B."""
        place, rest = read_letter(text, LETTERS[: len(self.texts)]) or (-1, "")
        return {place} if place >= 0 and (not rest or same_text(self.texts[place], rest)) else set()


def key_place(options: Options, row: dict[str, Any], field: str, answer: Any) -> int:
    """The option that a row says is right: by its key, with which an index beside it has to agree. A key that repeats
    the text of an option with a label (MedQA) needs that index. Raises ValueError naming the fields."""
    beside = [k for k in row if k.lower() in INDEX_NAMES and k != field and not _empty(row[k])]
    try:
        place = options.place(field, answer)
    except ValueError:
        by_index = {i for k in beside for i in _places(options, k, row[k])}
        places = {i for i in by_index if isinstance(answer, str) and options.texts[i] == answer.strip()}
        if len(places) != 1:
            raise
        [place] = places
    for key in beside:
        if place not in _places(options, key, row[key]):
            raise ValueError(
                f"the field {field!r} holds {answer!r}, which is {LETTERS[place]}, and the field {key!r} {row[key]!r}, "
                "which is another option: expected the same (counted from 0), mend one of them"
            )
    return place


def _places(options: Options, field: str, value: Any) -> set[int]:
    """An index, counted from 0, or a label."""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    places = {int(text)} if re.fullmatch(r"\d\d?", text) and int(text) < len(options.texts) else set()
    try:
        return places | {options.place(field, value)}
    except ValueError:
        return places


def read_options(row: dict[str, Any]) -> Options | None:
    """The options of a row; None where it has none. Raises ValueError for those that cannot be read."""
    apart = [key for key in row if APART.fullmatch(key)]
    if len(apart) > 1:  # they give no order: one that depends on the texts alone is the same at every start
        given = [text for key in apart for text in (row[key] if isinstance(row[key], list) else [row[key]])]
        options = _options(apart[0], [text for text in given if isinstance(text, str)])
        return replace(options, texts=sorted(options.texts, key=lambda t: hashlib.sha256(t.encode()).digest()))
    inner = {f"{key}.{name}": value for key in row if isinstance(row[key], dict) for name, value in row[key].items()}
    for field, value in {**row, **inner}.items():  # the original ARC has them in its question
        if field.lower().rpartition("question.")[2] in OPTION_NAMES and not _empty(value):
            return _options(field, value)
    return _columns(row)


def _columns(row: dict[str, Any]) -> Options | None:
    """Options in columns of their own. `A` and `B` may as well be numbers of a sum: they are options if another column
    holds one of their letters."""
    found = [(match, key) for key in row if (match := COLUMN.fullmatch(key)) and not _empty(row[key])]
    columns = dict(sorted((match["one"] or match["alone"], key) for match, key in found))
    others = {str(value).strip().upper() for key, value in row.items() if key not in columns.values()}
    alone = any(match["alone"] for match, _ in found)
    for labels in (LETTERS, LETTERS.lower(), [str(n) for n in range(1, 10)]):
        known = [*labels[: len(columns)]]
        if len(columns) > 1 and [*columns] == known and (not alone or others & {*known}):
            return Options(columns[known[0]], [str(row[key]).strip() for key in columns.values()], known)
    return None


def _options(field: str, value: Any) -> Options:
    def refuse(reason: str) -> ValueError:
        seen = value if len(str(value)) <= 80 else f"{str(value)[:80]}..."
        return ValueError(f"the field {field!r} holds {seen!r}: {reason}")

    given, labels = value, None
    if isinstance(given, str):
        text = given.strip()
        if text[0] in "[{(" and not re.match(r"\(\s*\w\s*\)", text) or text.startswith("array("):
            try:
                given = read_literal(text)
            except (ValueError, SyntaxError) as error:
                raise refuse(f"not a list of options ({error})") from error
        elif found := lettered(text):
            labels, given = found
        else:
            raise refuse("expected options as a list, or with their letters, as A) 5, B) 10")
    if isinstance(given, dict):
        labels, given = _of_dict(given)
    elif isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
        pairs = [_of_item(one) for one in given]
        labels, given = [label for label, _ in pairs], [text for _, text in pairs]
        labels = None if not any(labels) else labels
    if not isinstance(given, list) or any(isinstance(text, list | dict) or _empty(text) for text in given):
        raise refuse("expected a text for each option")
    if not 2 <= len(given) <= len(LETTERS):
        raise refuse(f"{len(given)} options, expected 2 to {len(LETTERS)}")
    texts, are_text = [str(text).strip() for text in given], all(isinstance(text, str) for text in given)
    if labels is None:
        labels, texts = _prefixes(texts)
    else:
        _, texts = _prefixes(texts)
        labels = [str(label).strip() for label in labels]
        if len(labels) != len(texts):
            raise refuse(f"{len(labels)} labels and {len(texts)} texts, expected as many")
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise refuse(f"two options have the label {twice!r}")
    if labels and sorted(label.upper() for label in labels) == [*LETTERS[: len(labels)]]:
        pairs = sorted((label.upper(), text) for label, text in zip(labels, texts))  # B before A is shown as A, B
        labels, texts = [label for label, _ in pairs], [text for _, text in pairs]
    return Options(field, texts, labels, are_text)


def _of_dict(given: dict[str, Any]) -> tuple[list[Any] | None, list[Any]]:
    """ARC's `{"text": [...], "label": [...]}`, or `{"A": ..., "B": ...}`."""
    texts = next((given[key] for key in TEXT_KEYS if isinstance(given.get(key), list)), None)
    if texts is not None:
        return next((given[key] for key in LABEL_KEYS if isinstance(given.get(key), list)), None), texts
    there = {key: text for key, text in given.items() if text is not None}  # Parquet gives every row all keys
    return [*there], [*there.values()]


def _of_item(item: dict[str, Any]) -> tuple[Any, Any]:
    """`{"label": "A", "text": ...}`, or `{"A": ...}`."""
    there = {key: text for key, text in item.items() if text is not None}
    if len(there) == 1 and not set(there) & {*TEXT_KEYS}:
        return next(iter(there.items()))
    return next((there[k] for k in LABEL_KEYS if k in there), ""), next((there[k] for k in TEXT_KEYS if k in there), "")


def _prefixes(texts: list[str]) -> tuple[list[str] | None, list[str]]:
    """Texts that begin with their letters or numbers (AQuA's `A)21`) without them; the numbers are labels, the letters
    those that the question shows anyway."""
    for letters, labels in ((True, LETTERS), (True, LETTERS.lower()), (False, [str(n) for n in range(1, 27)])):
        behind = r"\s*[.):]\s*" if letters else r"\s*[.):]\s+"  # 1.5 is no option 1
        found = [re.fullmatch(rf"\(?{label}{behind}(.+)", text, re.DOTALL) for label, text in zip(labels, texts)]
        if all(found):
            return None if letters else [*labels[: len(texts)]], [match[1].strip() for match in found if match]
    return None, texts


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, float) and math.isnan(value))
