"""The ways in which a model would write a reference answer that is right: what `check-references` tries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from ownwords.answers.choices import LETTERS, option_text, read_letter
from ownwords.answers.cut import cut, enclosed
from ownwords.answers.kind import kind_of
from ownwords.answers.quantity import Quantity, is_percent, read_quantity
from ownwords.answers.text import is_words, tidy
from ownwords.records.problem import Problem

NAME = re.compile(r"[a-zA-Z](?:\([a-z]\))? ?= ?(?P<value>[^=<>]+)")


def spellings(problem: Problem) -> list[str]:
    """What a right answer may look like inside of a box, the reference as it stands first."""
    form = kind_of(problem.kind).form
    written = _choice(problem) if form == "choice" else _mathematics(problem.answer) if form == "math" else iter(())
    return list(dict.fromkeys([problem.answer, *written]))


def _choice(problem: Problem) -> Iterator[str]:
    """The letter in its usual dress, with and without the text of its option."""
    named = read_letter(problem.answer)
    if named is None:
        return
    place = named[0]
    letter = LETTERS[place]
    yield from (f"({letter})", letter.lower(), rf"\text{{{letter}}}", rf"\textbf{{({letter})}}", f"Option {letter}")
    options = problem.metadata.get("options", ())
    if place < len(options):
        text = option_text(options[place]).strip()
        yield from (f"{letter}) {text}", f"{letter}. {text}", rf"\text{{({letter})}}\ {text}", f"{letter}: {text}")


def _mathematics(reference: str) -> Iterator[str]:
    yield f"${reference}$" if "$" not in reference else reference
    yield reference + "."
    bare = tidy(reference)
    if is_words(reference) and read_quantity(reference) is None:
        if re.fullmatch("[a-zA-Z ]+", bare):
            yield from (bare, bare.lower(), bare.capitalize(), rf"\text{{{bare}}}")
        return
    yield re.sub(r"\\frac(?![a-zA-Z])", r"\\dfrac", reference)
    yield re.sub(r"\\[dt]frac(?![a-zA-Z])", r"\\frac", reference)
    if r"\left" not in reference:
        yield re.sub(
            r"\\?[(\[{](?<!\{)|\\\{", lambda m: r"\left" + m[0], re.sub(r"\\\}|[)\]]", lambda m: r"\right" + m[0], bare)
        )
    if named := NAME.fullmatch(bare):
        yield named["value"]
    quantity = read_quantity(reference)
    if quantity:
        if not quantity.unit.doubtful:
            yield from _quantity(quantity)
        return
    parts = cut(bare, re.compile(","))
    if len(parts) > 1:
        yield from (", ".join(parts), ", ".join(reversed(parts)), r" \text{ and } ".join(parts))
        yield rf"\{{{', '.join(parts)}\}}" if len(set(parts)) == len(parts) and "=" not in bare else reference
    held = enclosed(bare)
    if held:
        inner = cut(held[1], re.compile(","))
        opening, closing = (r"\{", r"\}") if held[0] == "{}" else (held[0][0], held[0][1])
        yield rf"\left{opening} {', '.join(inner)} \right{closing}"


def _quantity(quantity: Quantity) -> Iterator[str]:
    """Without the unit; as a fraction and as a decimal, if that is exact; with thousands; in a text command."""
    number, unit = quantity.number, quantity.unit
    decimal = _decimal(number)
    if number.denominator == 1:
        whole = int(number)
        plain = f"{whole}"
        yield from (plain, f"{whole}.0", rf"\text{{{plain}}}", rf"\mathbf{{{plain}}}")
        if abs(whole) >= 1000:
            yield from (f"{whole:,}", f"{whole:,}".replace(",", "{,}"), f"{whole:,}".replace(",", r"\,"))
        yield rf"\frac{{{2 * whole}}}{{2}}"
    else:
        sign = "-" if number < 0 else ""
        over, under = abs(number.numerator), number.denominator
        yield from (rf"{sign}\frac{{{over}}}{{{under}}}", f"{sign}{over}/{under}")
        if over > under:
            yield rf"{sign}{over // under}\frac{{{over % under}}}{{{under}}}"
        if decimal:
            yield from (decimal, decimal + "0")
        plain = decimal or rf"{sign}\frac{{{over}}}{{{under}}}"
    if is_percent(unit):
        yield from (rf"{plain}\%", rf"{plain} \text{{ percent}}")
    elif unit.measures == (("dollars", 1),) and unit.size == 1:
        yield from (rf"\${plain}", rf"{plain} \text{{ dollars}}")
    elif unit.measures == (("angle", 1),):
        yield from (rf"{plain}^\circ", rf"{plain}^{{\circ}}", rf"{plain} \text{{ degrees}}", f"{plain}°")
    elif not unit.measures:
        yield rf"{plain} \text{{ units}}"


def _decimal(number: Fraction) -> str:
    """The decimal that a fraction is exactly, if it has at most eight places; empty otherwise."""
    for places in range(1, 9):
        if (number * 10**places).denominator == 1:
            digits = f"{abs(int(number * 10**places)):0{places + 1}}"
            return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return ""
