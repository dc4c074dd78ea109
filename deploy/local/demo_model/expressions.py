"""Finding mathematics in a text, and writing it as Python."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_MOST_TOKENS = 40  # a run of tokens longer than this is no formula that a person typed
_MOST_POWER = 64

_TYPOGRAPHY = str.maketrans({"\u2212": "-", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u00b2": "^2"})
_SPOKEN = [
    (r"(?<=\d)\s*%\s+of\s+", " / 100 * "),
    (r"\s+(?:times|multiplied\s+by)\s+", " * "),
    (r"\s+divided\s+by\s+", " / "),
    (r"\s+plus\s+", " + "),
    (r"\s+minus\s+", " - "),
    (r"\s+squared\b", "^2"),
    (r"(?<=\d)\s*x\s*(?=\d)", " * "),
    (r"(?<=\d),(?=\d{3}\b)", ""),
]
_TOKEN = re.compile(
    r"(?P<number>\d{1,300}(?:\.\d{1,300})?)"
    r"|(?P<letter>(?<![A-Za-z_])[A-Za-z](?![A-Za-z_]))"
    r"|(?P<sign>\*\*|[-+*/^()=])"
    r"|(?P<space>[ \t]+)"
    r"|(?P<other>.|\n)"
)
_OPERATORS = frozenset({"+", "-", "*", "/", "^", "**"})


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Formula:
    """A formula, or one side of an equation."""

    text: str  # as it was written, but for the signs
    python: str
    letters: frozenset[str]
    has_operator: bool
    is_whole: bool  # only whole numbers, and no division


def say_in_signs(text: str) -> str:
    """Turn "12 times 4", "15% of 80" and typographic signs into those that Python has."""
    text = text.translate(_TYPOGRAPHY)
    for words, sign in _SPOKEN:
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    return text


def runs(text: str) -> Iterator[list[Token]]:
    """Yield the stretches of the text that hold only numbers, single letters and signs."""
    run: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "other":
            if run:
                yield run[:_MOST_TOKENS]
            run = []
        elif kind != "space":
            run.append(Token(kind, match[0], match.start(), match.end()))
    if run:
        yield run[:_MOST_TOKENS]


def read(tokens: list[Token], source: str) -> Formula | None:
    """Write tokens as Python, with the multiplication signs that people leave out.

    Returns nothing when the tokens are no formula.
    """
    if not tokens:
        return None
    written = ""
    before: Token | None = None
    for token in tokens:
        operand = token.kind != "sign" or token.text == "("
        if before is not None and operand and (before.kind != "sign" or before.text == ")"):
            if token.kind == "number" or before.kind == token.kind == "letter":
                return None  # "a 3x": the letter is a word; "x y": two words
            written += "*"
        written += _as_python(token)
        before = token
    if not _is_expression(written):
        return None
    return Formula(
        text=source[tokens[0].start : tokens[-1].end],
        python=written,
        letters=frozenset(token.text for token in tokens if token.kind == "letter"),
        has_operator=any(token.text in _OPERATORS for token in tokens[1:]),
        is_whole=not any("." in token.text or token.text == "/" for token in tokens),
    )


def _as_python(token: Token) -> str:
    if token.kind == "number":
        return token.text if "." in token.text else str(int(token.text))
    if token.kind == "letter" or token.text in "()":
        return token.text
    return "**" if token.text in ("^", "**") else f" {token.text} "


def _is_expression(python: str) -> bool:
    try:
        ast.parse(python.strip(), mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        return False
    return True


def degree(python: str) -> int | None:
    """Return the degree of a polynomial in one letter; nothing when it is none, or too large."""
    try:
        coefficients = _coefficients(ast.parse(python.strip(), mode="eval").body)
    except (ArithmeticError, ValueError):
        return None
    return max((power for power, factor in coefficients.items() if factor), default=0)


def _coefficients(node: ast.expr) -> dict[int, Fraction]:
    """Factor of each power. Raises ValueError or ArithmeticError for what is no polynomial."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return {0: Fraction(str(number))}
        case ast.Name():
            return {1: Fraction(1)}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _times(_coefficients(operand), {0: Fraction(-1)})
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _coefficients(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_coefficients(left), _constant(_coefficients(right)))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _times(_coefficients(left), {0: 1 / _constant(_coefficients(right))})
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _times(_coefficients(left), _coefficients(right))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _plus(_coefficients(left), _coefficients(right))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _plus(_coefficients(left), _times(_coefficients(right), {0: Fraction(-1)}))
    raise ValueError("not a polynomial")


def _constant(coefficients: dict[int, Fraction]) -> Fraction:
    if any(factor for power, factor in coefficients.items() if power):
        raise ValueError("the letter stands in a divisor or an exponent")
    return coefficients.get(0, Fraction(0))


def _power(base: dict[int, Fraction], exponent: Fraction) -> dict[int, Fraction]:
    if exponent.denominator != 1 or not 0 <= exponent <= _MOST_POWER:
        raise ValueError("not a small whole exponent")
    result = {0: Fraction(1)}
    for _ in range(int(exponent)):
        result = _times(result, base)
    return result


def _times(left: dict[int, Fraction], right: dict[int, Fraction]) -> dict[int, Fraction]:
    result: dict[int, Fraction] = {}
    for power, factor in left.items():
        for other_power, other_factor in right.items():
            both = power + other_power
            if both > _MOST_POWER:
                raise ValueError("too large a power")
            result[both] = result.get(both, Fraction(0)) + factor * other_factor
    return result


def _plus(left: dict[int, Fraction], right: dict[int, Fraction]) -> dict[int, Fraction]:
    powers = left.keys() | right.keys()
    return {power: left.get(power, Fraction(0)) + right.get(power, Fraction(0)) for power in powers}
