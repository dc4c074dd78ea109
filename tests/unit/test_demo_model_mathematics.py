"""The demo model's mathematics: the programs it writes are run here, as the sandbox would."""

import contextlib
import io

import pytest

from deploy.local.demo_model.mathematics import Problem, find_problem


def printed_by(problem: Problem) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(problem.program, "<program>", "exec"), {})
    return output.getvalue().strip()


@pytest.mark.parametrize(
    ("question", "solution"),
    [
        ("I need to solve the equation `3x + 11 = 14`. Can you help me?", "x = 1"),
        ("Solve 2y - 5 = y + 7 please", "y = 12"),
        ("solve 3x+11=14", "x = 1"),
        ("I have a 3x + 11 = 14 here", "x = 1"),
        ("0.5z = 2", "z = 4"),
        ("-3x = \u22129", "x = 3"),
        ("2(x + 1) = 3", "x = 1/2 (about 0.5)"),
        ("x/3 + 1/7 = 2", "x = 39/7 (about 5.57143)"),
        ("1/4 = t - 1/2", "t = 3/4 (about 0.75)"),
        ("x^2 - 5x + 6 = 0", "x = 2 or x = 3"),
        ("x\u00b2 = 2", "x = -1.41421 or x = 1.41421"),
        ("t squared = 9", "t = -3 or t = 3"),
        ("x*x + 1 = 0", "no real x"),
        ("x**2 = 0", "x = 0"),
        ("x + 1 = x", "no x"),
        ("2a = a + a", "every a"),
    ],
)
def test_solves_equations(question: str, solution: str) -> None:
    problem = find_problem(question)
    assert problem is not None
    assert problem.kind == "equation"
    assert printed_by(problem) == solution


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("12 * (3 + 4)", "84"),
        ("What is 7/2?", "3.5"),
        ("7/2 = ?", "3.5"),
        ("0.1 + 0.2", "0.3"),
        ("12 times 4", "48"),
        ("3 x 4", "12"),
        ("3 \u00d7 4", "12"),
        ("15% of 80", "12"),
        ("1,000 + 1", "1001"),
        ("2^10 - 24", "1000"),
        ("see (12 * 3)", "36"),
        ("Is 2 + 2 = 5?", "4"),
    ],
)
def test_computes(question: str, result: str) -> None:
    problem = find_problem(question)
    assert problem is not None
    assert problem.kind == "calculation"
    assert printed_by(problem) == result


@pytest.mark.parametrize(
    "question",
    [
        "How are you?",
        "support is there 24/7",
        "call 555-1234 on 2023-11-06",
        "5 + 3x",
        "x**3 = 8",
        "3x + 2y = 1",
        "1/x = 2",
        "x = 3 = 4",
        "(" * 500,
        "9" * 5000 + " + 1 = x",
        "x ** 999999999 = 1",
        "",
    ],
)
def test_leaves_alone_what_it_cannot_do(question: str) -> None:
    assert find_problem(question) is None


def test_an_error_is_left_to_the_program() -> None:
    problem = find_problem("what is 10 / 0")
    assert problem is not None
    with pytest.raises(ZeroDivisionError):
        printed_by(problem)
