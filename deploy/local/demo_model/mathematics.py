"""Problems in the question, and the Python program that solves each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.local.demo_model.expressions import Formula, Token, degree, read, runs, say_in_signs

_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_ASKS_TO_COMPUTE = re.compile(
    r"\b(?:calculate|compute|evaluate|solve|simplify|work\s+out|how\s+much|what\s+is|what's)\b", re.IGNORECASE
)

_LINEAR = """\
from fractions import Fraction


def difference({x}):
    return ({left}) - ({right})


# Linear: the two sides differ by slope * {x} + start, so two points are enough.
start = difference(Fraction(0))
slope = difference(Fraction(1)) - start
{x} = -start / slope
print("{x} =", {x} if {x}.denominator == 1 else f"{{{x}}} (about {{float({x}):.6g}})")
"""

_QUADRATIC = """\
from fractions import Fraction
from math import sqrt


def difference({x}):
    return ({left}) - ({right})


# Quadratic: three points give the factors of a*{x}**2 + b*{x} + c.
c = difference(Fraction(0))
a = (difference(Fraction(1)) + difference(Fraction(-1))) / 2 - c
b = difference(Fraction(1)) - a - c
discriminant = b * b - 4 * a * c
if discriminant < 0:
    print("no real {x}")
else:
    root = sqrt(discriminant)
    found = sorted({{float(-b - root) / float(2 * a), float(-b + root) / float(2 * a)}})
    print(" or ".join(f"{x} = {{value:.6g}}" for value in found))
"""

_CONSTANT = """\
from fractions import Fraction

# The letter {x} cancels out: either every value solves the equation, or none does.
{x} = Fraction(0)
print("every {x}" if ({left}) == ({right}) else "no {x}")
"""

_WHOLE = """\
result = {formula}
print(result)
"""

_DECIMAL = """\
from fractions import Fraction

result = {formula}
print(f"{{float(result):.12g}}")
"""

_NUMBER = re.compile(r"\d+\.\d+|(?<!\*\*)\b\d+\b")


@dataclass(frozen=True)
class Problem:
    kind: Literal["equation", "calculation"]
    text: str
    program: str


def find_problem(question: str) -> Problem | None:
    """Return the first equation of the text, or else its first calculation."""
    text = _DATE.sub(lambda date: "#" * len(date[0]), say_in_signs(question))
    every_run = list(runs(text))
    for tokens in every_run:
        if (problem := _equation(tokens, text)) is not None:
            return problem
    asked = _ASKS_TO_COMPUTE.search(question) is not None
    for tokens in every_run:
        if (problem := _calculation(tokens, text, asked)) is not None:
            return problem
    return None


def _equation(tokens: list[Token], source: str) -> Problem | None:
    if [token.text for token in tokens].count("=") != 1:
        return None
    middle = next(i for i, token in enumerate(tokens) if token.text == "=")
    # Words such as "a" look like letters, so the outer tokens may have to go.
    starts = [i for i in range(middle) if _stand_apart(tokens[:i][-1:], tokens[i : i + 1])]
    ends = [i for i in range(len(tokens), middle, -1) if _stand_apart(tokens[i - 1 : i], tokens[i : i + 1])]
    for start in starts:
        for end in ends:
            left, right = read(tokens[start:middle], source), read(tokens[middle + 1 : end], source)
            if left is None or right is None or len(letters := left.letters | right.letters) != 1:
                continue
            if (program := _solver(left, right, *letters)) is not None:
                return Problem("equation", f"{left.text} = {right.text}", program)
    return None


def _solver(left: Formula, right: Formula, letter: str) -> str | None:
    templates = {0: _CONSTANT, 1: _LINEAR, 2: _QUADRATIC}
    template = templates.get(_degree_of_difference(left, right))
    if template is None:
        return None
    return template.format(x=letter, left=_exact(left.python), right=_exact(right.python))


def _degree_of_difference(left: Formula, right: Formula) -> int:
    found = degree(f"({left.python.strip()}) - ({right.python.strip()})")
    return -1 if found is None else found


def _calculation(tokens: list[Token], source: str, asked: bool) -> Problem | None:
    for formula in _formulas_without_letters(tokens, source):
        meant = asked or re.search(r"[*+^(]|\s[-/]\s", formula.text) or tokens[-1].text == "="
        if formula.has_operator and meant:  # "24/7" or "555-1234" alone asks for nothing
            if formula.is_whole:
                program = _WHOLE.format(formula=formula.python.strip())
            else:
                program = _DECIMAL.format(formula=_exact(formula.python))
            return Problem("calculation", formula.text, program)
    return None


def _formulas_without_letters(tokens: list[Token], source: str) -> Iterator[Formula]:
    for start in range(len(tokens)):
        for end in range(len(tokens), start, -1):
            part = tokens[start:end]
            if any(token.kind == "letter" or token.text == "=" for token in part):
                continue
            before, after = tokens[:start][-1:], tokens[end:][:1]
            if not (_stand_apart(before, part[:1]) and _stand_apart(part[-1:], after)):
                continue
            if (formula := read(part, source)) is not None:
                yield formula


def _stand_apart(left: list[Token], right: list[Token]) -> bool:
    """Tell whether a formula may end or begin here: "5 + 3x" does not hold the formula "5 + 3"."""
    if not left or not right:
        return True
    (one,), (other,) = left, right
    if "=" in (one.text, other.text) or one.text == "(" or other.text == ")":
        return True
    # A letter beside it is taken for a word, unless it touches or an operator joins them.
    joined = one.end == other.start or "sign" in (one.kind, other.kind)
    return "letter" in (one.kind, other.kind) and not joined


def _exact(python: str) -> str:
    """Write decimals as fractions, so that 0.1 + 0.2 is 0.3; with a division, whole numbers too."""
    every_number = " / " in python

    def fraction(number: re.Match[str]) -> str:
        if "." in number[0]:
            return f'Fraction("{number[0]}")'
        return f"Fraction({number[0]})" if every_number else number[0]

    return _NUMBER.sub(fraction, python.strip())
