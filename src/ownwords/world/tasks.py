"""The small world's problems, and the two styles in which they are solved.

Problems come from reasoning-gym, so the questions and the reference answers are not ours. What is ours is how a
solution is written down:

* *terse*, the student's way: the intermediate results and nothing else;
* *long-winded*, the teacher's way: full sentences, then "Wait, let me check ..." and a second computation by another
  route. The check computes something: in some training documents the first pass goes wrong on purpose, the check then
  disagrees and the sum is done again. The wrong digits carry no loss, so nobody learns to make them.

A document is a list of `(text, learn)` pieces; `learn` is False for a planted mistake.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

from ownwords.world.phrases import AGREE, CLOSINGS, DISAGREE, OPENINGS, TURNS

FAMILIES: dict[str, dict[str, int]] = {
    "chain_sum": dict(min_terms=2, max_terms=4, min_digits=1, max_digits=2),
    "leg_counting": dict(min_animals=2, max_animals=4, min_instances=1, max_instances=12),
    "number_filtering": dict(min_numbers=3, max_numbers=5, max_decimals=0, min_value=0, max_value=99),
}
"""reasoning-gym task -> its settings. All three are easy enough for models of a few million weights."""

Pieces = list[tuple[str, bool]]


def held_out(question: str) -> bool:
    """True for the tenth of all questions (by content hash) that no training document ever shows."""
    return hashlib.sha256(question.encode()).digest()[0] < 26


def items(family: str, seed: int, want_held_out: bool) -> Iterator[dict[str, Any]]:
    """reasoning-gym items of one family without end, all held out or all not; equal questions may recur.

    reasoning-gym seeds its items by seed + index, so one `seed` far from another gives other items.
    """
    import reasoning_gym

    size = 1 << 30
    dataset = reasoning_gym.create_dataset(family, seed=seed, size=size, **FAMILIES[family])
    for index in range(size):
        item = dataset[index]
        if held_out(item["question"]) == want_held_out:
            yield item


# --- chain_sum: 4 - 1 + 27 = ---------------------------------------------------------------------------------------


def _chain_terms(item: dict) -> list[int]:
    words = item["metadata"]["expression"].split()
    return [int(words[0])] + [int(n) if sign == "+" else -int(n) for sign, n in zip(words[1::2], words[2::2])]


def _signed(value: int) -> str:
    return f"+ {value}" if value >= 0 else f"- {-value}"


def _terse_chain(item: dict) -> str:
    terms = _chain_terms(item)
    total, lines = terms[0], []
    for term in terms[1:]:
        lines.append(f"{total} {_signed(term)} = {total + term}")
        total += term
    return "\n".join(lines)


def _worked(total: int, term: int, slip: int = 0) -> tuple[Pieces, int]:
    """One step in the long-winded way: signs first, so that what is left is a sum or a difference of plain numbers.
    With `slip` the size of the result is off by it."""
    result = total + term
    plain = total >= 0 and result >= 0
    a, b = sorted((abs(total), abs(term)), reverse=True)
    sign = "+" if (total < 0) == (term < 0) else "-"
    size = abs(abs(result) + slip)
    if plain:
        return [(f"{total} {_signed(term)} = ", True), (f"{size}", not slip)], size
    pieces = [(f"{total} {_signed(term)}: {a} {sign} {b} = ", True), (f"{size}", not slip)]
    if result < 0:
        pieces += [(", so ", True), (f"{-size}", not slip)]
    return pieces, -size if result < 0 else size


def _pass_chain(terms: list[int], rng: random.Random, slip: int = 0) -> tuple[Pieces, int]:
    """One walk from left to right; with `slip` the last result is off by it. Returns the text and the result."""
    start = rng.choice(("I start with", "We begin with", "The first number is"))
    pieces: Pieces = [(f"{start} {terms[0]}.", True)]
    total = terms[0]
    for position, term in enumerate(terms[1:], 1):
        joint = rng.choice(("Next I", "Then I", "After that I", "Now I"))
        verb = f"add {term}" if term >= 0 else f"take away {-term}"
        step, total = _worked(total, term, slip if position == len(terms) - 1 else 0)
        pieces += [(f" {joint} {verb}, and ", True), *step, (".", True)]
    return pieces, total


def _check_chain(terms: list[int]) -> tuple[Pieces, int]:
    """The other route: the plus terms, the minus terms, then their difference."""
    sums = {}
    text = ""
    for name, group in (("plus", [t for t in terms if t >= 0]), ("minus", [-t for t in terms if t < 0])):
        text += f" The {name} terms are {', '.join(map(str, group))}" if group else f" There are no {name} terms"
        total = group[0] if group else 0
        for term in group[1:]:
            text += f"; {total} + {term} = {total + term}"
            total += term
        text += "."
        sums[name] = total
    step, result = _worked(sums["plus"], -sums["minus"])
    return [(f"{text} Together ", True), *step, (".", True)], result


# --- leg_counting: 13 spiders, 2 cows ------------------------------------------------------------------------------


def _legs(item: dict) -> list[tuple[str, int, int]]:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    return [(animal, count, ANIMALS[animal]) for animal, count in item["metadata"]["animals"].items()]


def _terse_legs(item: dict) -> str:
    total, lines = 0, []
    for position, (animal, count, legs) in enumerate(_legs(item)):
        lines.append(f"{animal} {count} * {legs} = {count * legs}")
        if position:
            lines.append(f"{total} + {count * legs} = {total + count * legs}")
        total += count * legs
    return "\n".join(lines)


def _pass_legs(rows: list[tuple[str, int, int]], rng: random.Random, slip: int = 0) -> tuple[Pieces, int]:
    pieces: Pieces = []
    parts = []
    for animal, count, legs in rows:
        joint = rng.choice(("Each", "Every", "One single"))
        text = f" {joint} {animal} has {legs} legs, and there are {count} of them, which makes {count} * {legs} = "
        pieces.append((f"{text}{count * legs}.", True))
        parts.append(count * legs)
    total = parts[0]
    pieces.append((rng.choice((" Adding these up gives", " Now I sum all of it:")), True))
    for position, part in enumerate(parts[1:], 1):
        pieces.append((f"{',' if position > 1 else ''} {total} + {part} = ", True))
        total += part
        wrong = slip != 0 and position == len(parts) - 1
        if wrong:
            total += slip
        pieces.append((str(total), not wrong))
    pieces.append((".", True))
    pieces[0] = (pieces[0][0].lstrip(), True)
    return pieces, total


def _check_legs(rows: list[tuple[str, int, int]]) -> tuple[Pieces, int]:
    """The other route: from the last animal to the first, one running sum."""
    text, total = " From the back:", 0
    for position, (animal, count, legs) in enumerate(reversed(rows)):
        made = count * legs
        text += f" {count} {animal} at {legs} is {made}"
        if position:
            text += f", {total} + {made} = {total + made}"
        text += "."
        total += made
    return [(text, True)], total


# --- number_filtering: keep all numbers larger than 7 ---------------------------------------------------------------


def _filter_rows(item: dict) -> tuple[int, bool, bool, list[int]]:
    meta = item["metadata"]
    action, side = meta["operation"].split("_")
    return int(meta["filter_value"]), action == "keep", side == "larger", [int(n) for n in meta["original_numbers"]]


def _as_list(numbers: list[int]) -> str:
    return str([str(n) for n in numbers])


def _keeps(number: int, limit: int, keep: bool, larger: bool) -> bool:
    return ((number > limit) if larger else (number < limit)) == keep


def _compare(number: int, limit: int) -> str:
    return ">" if number > limit else "<" if number < limit else "="


def _verdicts(limit: int, keep: bool, larger: bool) -> list[tuple[str, str, bool]]:
    """(sign, word, whether such a number stays). Said first in both styles, and then looked up for every number."""
    words = ((">", "larger", limit + 1), ("=", "equal", limit), ("<", "smaller", limit - 1))
    return [(sign, word, _keeps(number, limit, keep, larger)) for sign, word, number in words]


def _terse_filter(item: dict) -> str:
    limit, keep, larger, numbers = _filter_rows(item)
    rule = {sign: f"{sign} {'keep' if stays else 'drop'}" for sign, _, stays in _verdicts(limit, keep, larger)}
    lines = [" ".join(rule.values())]
    lines += [f"{n} to {limit} {rule[_compare(n, limit)]}" for n in numbers]
    return "\n".join(lines)


def _pass_filter(item: dict, rng: random.Random, slip: int = 0) -> tuple[Pieces, list[int]]:
    limit, keep, larger, numbers = _filter_rows(item)
    rule = f"{'keep' if keep else 'remove'} everything {'larger' if larger else 'smaller'} than {limit}"
    verdicts = _verdicts(limit, keep, larger)
    words = {sign: word for sign, word, _ in verdicts}
    said = ", ".join(f"{word} {'stays' if stays else 'goes'}" for _, word, stays in verdicts)
    pieces: Pieces = [(f"The rule is to {rule}, so {said}.", True)]
    result = []
    for position, n in enumerate(numbers):
        joint = rng.choice(("Looking at", "Now consider", "Next comes", "As for"))
        word = words[_compare(n, limit)]
        stays = _keeps(n, limit, keep, larger)
        wrong = slip != 0 and position == len(numbers) - 1
        if wrong:
            stays = not stays
        pieces.append((f" {joint} {n}: next to {limit} it is {word}, and {word} ", True))
        pieces.append(("stays" if stays else "goes", not wrong))
        pieces.append((".", True))
        if stays:
            result.append(n)
    pieces.append((f" That leaves {_as_list(result)}.", True))
    return pieces, result


def _check_filter(item: dict) -> tuple[Pieces, list[int]]:
    """The other route: sort the numbers by side first, then take the sides that stay."""
    limit, keep, larger, numbers = _filter_rows(item)
    text = ""
    for sign, word, stays in _verdicts(limit, keep, larger):
        group = [n for n in numbers if _compare(n, limit) == sign]
        if group or sign != "=":
            named = ", ".join(map(str, group)) if group else "none"
            text += f" Of {word} ones there are {named}, and {word} {'stays' if stays else 'goes'}."
    stay = [n for n in numbers if _keeps(n, limit, keep, larger)]
    return [(f"{text} In: {_as_list(stay)}.", True)], stay


# --- documents ------------------------------------------------------------------------------------------------------


def answer_text(item: dict) -> str:
    return item["answer"]


def terse(item: dict) -> Pieces:
    """The completion in the student's style, from after the opening think tag to before the end of the turn."""
    family = item["metadata"]["source_dataset"]
    body = {"chain_sum": _terse_chain, "leg_counting": _terse_legs, "number_filtering": _terse_filter}[family](item)
    return [(f"{body}\n</think>\n\n\\boxed{{{answer_text(item)}}}", True)]


def long_winded(item: dict, rng: random.Random, slip_rate: float = 0.05) -> Pieces:
    """The completion in the teacher's style; a share `slip_rate` errs in the first pass, and the check finds it."""
    family = item["metadata"]["source_dataset"]
    slip = rng.choice((-10, -2, -1, 1, 2, 10)) if rng.random() < slip_rate else 0

    def attempt(slip: int) -> tuple[Pieces, Any]:
        if family == "chain_sum":
            return _pass_chain(_chain_terms(item), rng, slip)
        if family == "leg_counting":
            return _pass_legs(_legs(item), rng, slip)
        return _pass_filter(item, rng, slip)

    check = {
        "chain_sum": lambda: _check_chain(_chain_terms(item)),
        "leg_counting": lambda: _check_legs(_legs(item)),
        "number_filtering": lambda: _check_filter(item),
    }[family]
    first, found = attempt(slip)
    second, checked = check()
    pieces = [(f"{rng.choice(OPENINGS)}\n\n", True), *first, (f"\n\n{rng.choice(TURNS)}", True), *second]
    if found != checked:
        third, again = attempt(0)
        assert again == checked
        pieces += [(f" {rng.choice(DISAGREE)}\n\n", True), *third, ("\n</think>\n\n", True)]
    else:
        pieces += [(f" {rng.choice(AGREE)}\n</think>\n\n", True)]
    return [*pieces, (f"{rng.choice(CLOSINGS)} \\boxed{{{answer_text(item)}}}.", True)]
