"""Whether two equations or inequalities, or two sets of real numbers, say the same."""

from __future__ import annotations

import sympy

from ownwords.answers.formula import equal
from ownwords.answers.things import Relation


def same_relation(a: Relation, b: Relation) -> bool:
    """Equal up to a constant factor, which must be positive for an inequality."""
    if a.sign != b.sign:
        return False
    one, other = a.lhs - a.rhs, b.lhs - b.rhs
    letters = one.free_symbols
    if letters != other.free_symbols:
        return False
    factor = _constant_ratio(one, other, sorted(letters, key=str))
    if factor is None or (a.sign in ("<", "<=") and not factor > 0):
        return False
    return equal(one, factor * other)


def _constant_ratio(one: sympy.Expr, other: sympy.Expr, letters: list[sympy.Symbol]) -> sympy.Expr | None:
    point = {letter: sympy.Rational(17 + 6 * place, 7 + place) for place, letter in enumerate(letters)}
    x, y = one.xreplace(point).doit(), other.xreplace(point).doit()
    if not y.is_number or y.is_zero or x.is_zero:
        return None
    factor = sympy.simplify(x / y)
    return factor if factor.is_real else None


def same_numbers(a: sympy.Set, b: sympy.Set) -> bool:
    """Equal interval by interval and point by point."""
    if a == b:
        return True
    one, other = _pieces(a), _pieces(b)
    if one is None or other is None or len(one) != len(other):
        return False
    return all(x[2:] == y[2:] and equal(x[0], y[0]) and equal(x[1], y[1]) for x, y in zip(one, other))


def _pieces(numbers: sympy.Set) -> list[tuple[sympy.Expr, sympy.Expr, bool, bool]] | None:
    """(from, to, open, open) of each interval, from left to right."""
    parts = numbers.args if isinstance(numbers, sympy.Union) else [numbers]
    pieces = []
    for part in parts:
        if isinstance(part, sympy.Interval):
            pieces.append((part.start, part.end, bool(part.left_open), bool(part.right_open)))
        elif isinstance(part, sympy.FiniteSet):
            pieces += [(point, point, False, False) for point in part.args]
        else:
            return None
    return sorted(pieces, key=lambda piece: (float(piece[0]), float(piece[1])))
