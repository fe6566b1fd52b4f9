"""Formulas: from LaTeX to sympy, the text as a whole or not at all, and whether two of them are equal.

The grammar is math-verify's (latex2sympy2_extended). Equality is decided by values: numbers to 60 digits and
relatively, so that nothing tiny equals zero; expressions with letters at several points, whose agreement to 28 digits
is an identity for anything that is written as an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from latex2sympy2_extended.math_normalization import NormalizationConfig
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef

DIGITS = 60
"""significant digits of a number's value"""
TOO_LARGE = 10**5
"""decimal digits before the point, or the largest number whose factorial is taken"""
MOST_TERMS = 4
"""decimal digits of the bounds of a sum"""
LONGEST = 1000
"""characters; the grammar needs seconds for some that are longer"""
AS_WRITTEN = ConversionConfig(lowercase_symbols=False, interpret_contains_as_eq=False)
SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none")
FUNCTION = re.compile(
    r"(?<![a-zA-Z\\])(arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|pi|theta|alpha|beta|infty)"
    r"(?![a-zA-Z])"
)
NUMBER_THEN_NUMBER = re.compile(r"[\d.] +[\d.]|'|\\(?:ldots|cdots|dots)|\.\.")
"""what the grammar would read, and wrongly: `2 5` as a mixed number, a prime as nothing"""
REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot) ?\{? ?(\d+) ?\}?")
CHOOSE = (
    re.compile(r"(?<![a-zA-Z\\])C ?\( ?(\w+) ?, ?(\w+) ?\)"),
    re.compile(r"(?:\{\})? ?[_^] ?\{?(\w+)\}? ?C ?_ ?\{?(\w+)\}?"),
    re.compile(r"\{? ?(\w+) ?\\choose ?(\w+) ?\}?"),
)
WHOLE = frozenset("nkmNMjp")
"""letters that stand for whole numbers, if that makes two formulas equal"""


@lru_cache(maxsize=512)
def parse(text: str) -> sympy.Basic | None:
    """The expression that a tidy text is, unevaluated, with exact numbers; None if it is no formula as a whole."""
    text = _spell(text) if len(text) <= LONGEST else ""
    if not text or NUMBER_THEN_NUMBER.search(text):
        return None
    try:
        parsed = latex2sympy(
            text, is_real=None, convert_degrees=True, normalization_config=SPELLING, conversion_config=AS_WRITTEN
        )
    except MemoryError:
        raise
    except Exception:  # the grammar raises whatever its parts raise
        return None
    if not isinstance(parsed, (sympy.Expr, sympy.MatrixBase)) or parsed.has(sympy.nan, sympy.zoo):
        return None
    try:
        return _with_constants(parsed)
    except (TypeError, ValueError, AttributeError):
        return None


def _spell(text: str) -> str:
    """In the grammar's own spelling, which differs where the grammar would misread."""
    text = re.sub(r"\\unit ?\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1", text)
    for pattern in CHOOSE:
        text = pattern.sub(r"\\binom{\1}{\2}", text)
    text = REPEATING.sub(_fraction, text)
    text = re.sub(r"(\d*)\.(\d+)", _decimal, text)
    text = FUNCTION.sub(r"\\\1", text.replace("**", "^"))
    text = re.sub(r"\\?sqrt ?\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^ ?\(([^()]*)\)", r"^{\1}", text)
    text = re.sub(r"([_^]) ?(\d)", r"\1{\2}", text)
    text = re.sub(r"\\log ?_ ?\{? ?e ?\}?", r"\\ln ", text)
    text = re.sub(r"(?<![\w^_.{}\\])(\d+) ?\(", r"\1\\cdot (", text)  # 1000(26) is no mixed number
    text = re.sub(r"\) ?(?=\(|\d|\\frac)", r")\\cdot ", text)
    text = re.sub(r"(?<![a-zA-Z\\])E(?= ?_)", r"\\mathcal{E}", text)  # E_1 is no power of ten
    return text.strip()


def _fraction(found: re.Match[str]) -> str:
    whole, once, period = found.groups()
    nines = 10 ** len(once) * (10 ** len(period) - 1)
    return rf"\frac{{{int((whole or '0') + once) * (10 ** len(period) - 1) + int(period)}}}{{{nines}}}"


def _decimal(found: re.Match[str]) -> str:
    return rf"(\frac{{{int((found[1] or '0') + found[2])}}}{{{10 ** len(found[2])}}})"


def _with_constants(parsed: sympy.Basic) -> sympy.Basic:
    """`e` and `i` are the constants, `I` is a letter, and a function that nobody defined stands for itself."""
    letters = {sympy.I: sympy.Symbol("I")} if parsed.has(sympy.I) else {}
    parsed = parsed.xreplace(letters) if letters else parsed
    constants = {sympy.Symbol("i"): sympy.I, sympy.Symbol("e"): sympy.E}
    applied = {f: sympy.Symbol(str(f)) for f in parsed.atoms(AppliedUndef)}
    return parsed.xreplace({**{s: c for s, c in constants.items() if s in parsed.free_symbols}, **applied})


def equal(a: sympy.Basic, b: sympy.Basic) -> bool:
    """Whether two expressions have the same value, for all values of their letters.

    Raises OverflowError where that would take numbers of more than 100,000 digits.
    """
    if a == b:
        return True
    for expression in (a, b):
        _check_size(expression)
    if isinstance(a, sympy.MatrixBase) or isinstance(b, sympy.MatrixBase):
        return (
            isinstance(a, sympy.MatrixBase)
            and isinstance(b, sympy.MatrixBase)
            and a.shape == b.shape
            and all(equal(x, y) for x, y in zip(a.flat(), b.flat(), strict=True))
        )
    letters = sorted(a.free_symbols | b.free_symbols, key=str)
    if not letters:
        return _same_number(a, b)
    if _agree(a, b, letters, whole=a.has(*STEPPED) or b.has(*STEPPED)):
        return True
    return all(str(letter) in WHOLE for letter in letters) and _agree(a, b, letters, whole=True)


STEPPED = (sympy.Sum, sympy.Product, sympy.factorial, sympy.binomial)
"""functions of whole numbers"""


def value(expression: sympy.Basic, digits: int = DIGITS) -> sympy.Expr | None:
    """Its number to so many digits, None if it has none; exactly 0 where it is found to be zero."""
    try:
        done = expression.doit()
        if done.has(sympy.nan, sympy.zoo):
            return None
        if done in (sympy.oo, -sympy.oo):
            return done
        number = done.evalf(digits, strict=True, maxn=400)
    except sympy.core.evalf.PrecisionExhausted:  # it may be zero
        return sympy.S.Zero if sympy.simplify(done) == 0 else None
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, NotImplementedError, RecursionError):
        return None
    parts = number.as_real_imag()
    return number if all(part.is_number and part.is_finite for part in parts) else None


def _same_number(a: sympy.Basic, b: sympy.Basic) -> bool:
    exact = a.doit(), b.doit()
    if all(number.is_Rational for number in exact):
        return exact[0] == exact[1]
    x, y = value(a), value(b)
    return x is not None and y is not None and _close(x, y, DIGITS)


def _close(x: sympy.Expr, y: sympy.Expr, digits: int) -> bool:
    if x == y:
        return True
    if not (x.is_finite and y.is_finite):
        return False
    largest = max(abs(x), abs(y))
    return bool(abs(x - y) <= largest * sympy.Rational(1, 10 ** (digits - 12)))


def _points(letters: list[sympy.Symbol], whole: bool) -> Iterator[dict[sympy.Symbol, sympy.Rational]]:
    """Values for the letters: positive ones first, then with either sign."""
    for turn in range(12):
        point = {}
        for place, letter in enumerate(letters):
            seed = (7 * turn + 11 * place + 3 * turn * place) % 23
            number = sympy.Integer(1 + seed % 9) if whole else sympy.Rational(13 + 6 * seed, 17 + 2 * place)
            point[letter] = -number if not whole and turn >= 5 and (turn + place) % 2 else number
        yield point


def _agree(a: sympy.Basic, b: sympy.Basic, letters: list[sympy.Symbol], whole: bool) -> bool:
    """Whether they are equal at all points at which both have a value, of which there must be some."""
    compared = 0
    for point in _points(letters, whole):
        if _leaves_the_reals(a, point) or _leaves_the_reals(b, point):
            continue
        try:
            x, y = (value(_at(expression, point), 40) for expression in (a, b))
        except ValueError:  # a derivative by a letter
            return False
        if (x is None) != (y is None):
            # a removable gap (x^2/x at 0) is not met at these points
            return False
        if x is None or y is None:
            continue
        if not _close(x, y, 40):
            return False
        compared += 1
    return compared >= 3


def _at(expression: sympy.Basic, point: dict[sympy.Symbol, sympy.Rational]) -> sympy.Basic:
    """With values for its letters; a letter that a sum or an integral runs over keeps its own."""
    return expression.subs(point) if expression.has(ExprWithLimits) else expression.xreplace(point)


def _leaves_the_reals(expression: sympy.Basic, point: dict[sympy.Symbol, sympy.Rational]) -> bool:
    """Whether a root or a logarithm would be taken of a negative number: such letters are meant to be positive."""
    for part in expression.atoms(sympy.Pow, sympy.log):
        inner, power = (part.args[0], part.args[1]) if isinstance(part, sympy.Pow) else (part.args[0], None)
        if not inner.free_symbols or (power is not None and power.doit().is_integer):
            continue
        if power is not None and power.free_symbols and not any(s in point for s in inner.free_symbols):
            continue
        number = value(_at(inner, point), 15)
        if number is not None and number.is_real and number < 0:
            return True
    return False


def _check_size(expression: sympy.Basic) -> None:
    """Raise OverflowError for powers and factorials that no memory holds, without computing them."""
    for part in sympy.postorder_traversal(expression):
        if isinstance(part, sympy.Pow) and not part.free_symbols:
            base, power = _magnitude(part.base), _magnitude(part.exp)
            if power > 5 or base * 10 ** max(power, 0) > TOO_LARGE:
                raise OverflowError("a power with too many digits")
        elif isinstance(part, (sympy.factorial, sympy.binomial, sympy.exp)) and not part.free_symbols:
            if _magnitude(part.args[0]) > 5:
                raise OverflowError("a factorial with too many digits")
        elif isinstance(part, (sympy.Sum, sympy.Product)):
            if any(_magnitude(bound) > MOST_TERMS for limit in part.limits for bound in limit[1:] if bound.is_finite):
                raise OverflowError("a sum of too many terms")


def _magnitude(expression: sympy.Basic) -> float:
    """An upper bound of the decimal logarithm of a number, from the sizes of its parts."""
    if isinstance(expression, sympy.Number):
        return max(0.0, float(sympy.log(abs(expression), 10).evalf(5))) if expression.is_finite and expression else 0.0
    if isinstance(expression, sympy.Pow):
        return min(1e9, _magnitude(expression.base) * 10 ** min(_magnitude(expression.exp), 9))
    if isinstance(expression, sympy.factorial):
        return min(1e9, 10 ** min(_magnitude(expression.args[0]), 9) * max(1.0, _magnitude(expression.args[0])))
    if isinstance(expression, sympy.Add):
        return max(map(_magnitude, expression.args)) + 0.31 * len(expression.args)
    if isinstance(expression, sympy.Mul):
        return sum(map(_magnitude, expression.args))
    return 1.0 if not expression.args else max(map(_magnitude, expression.args)) + 1
