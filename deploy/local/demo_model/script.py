"""The script: a request in, the reply out. No clock, no chance, no I/O."""

import json
import re

from deploy.local.demo_model.functions import (
    FILE_TOOLS,
    asks_about_files,
    calls_of,
    filled,
    functions_asked_for,
)
from deploy.local.demo_model.mathematics import Problem, find_problem
from deploy.local.demo_model.names import name_to_address
from deploy.local.demo_model.passages import quoted_answer
from deploy.local.demo_model.reply import Call, Reply
from deploy.local.demo_model.request import CalledFunction, ChatRequest, Function, NamedChoice

CODE_TOOL = "code_interpreter"
_INTRODUCTION = "this is Threadmill's demo model, a script and no real model"
_REMEDY = "To get real answers, configure a model with --model-url."
_FENCE = re.compile(r"```(?:python|py)[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_FAILED = re.compile(
    r"^traceback \(most recent call last\)|^\w*(?:error|exception)\b|could not be run|timed out"
    r"|^\w+(?:error|exception|interrupt): ",
    re.IGNORECASE | re.MULTILINE,
)


def reply_to(request: ChatRequest) -> Reply:
    """Answer by the rules in the package's docstring."""
    name = name_to_address(request.instructions)
    calls = _calls_due(request)
    if calls:
        reply = Reply(_announcement(request, calls, name), calls)
    else:
        reply = Reply(_shaped(request, _answer(request, name)))
    return reply if request.most_words is None else reply.cut(request.most_words)


def _calls_due(request: ChatRequest) -> tuple[Call, ...]:
    choice = request.tool_choice
    if choice == "none":
        return ()
    offered = request.functions
    if isinstance(choice, NamedChoice):
        offered = [function for function in offered if function.name == choice.function.name]
    plan = _plan(request.question, offered)
    forced = choice == "required" or isinstance(choice, NamedChoice)
    if forced and not plan:
        plan = _calls_at_any_rate(request.question, offered[0])
    made = sum(1 for _ in request.answered_calls())
    remaining = plan[made:] or (plan if forced else [])
    one_by_one = request.parallel_tool_calls is False
    return tuple(remaining[:1] if one_by_one else remaining)


def _plan(question: str, offered: list[Function]) -> list[Call]:
    """All calls that the question leads to, whether they were made already or not."""
    prose = _FENCE.sub("", question)
    programs = _programs(question) if any(f.name == CODE_TOOL for f in offered) else []
    plan = [Call(CODE_TOOL, {"code": program}) for program in programs]
    others = [f for f in offered if f.name != CODE_TOOL and f.name not in FILE_TOOLS]
    for function in functions_asked_for(prose, others):
        plan += calls_of(function, prose)
    if asks_about_files(prose) or (not plan and "?" in prose):
        for function in offered:
            if function.name in FILE_TOOLS:
                plan += calls_of(function, prose)
    return plan


def _programs(question: str) -> list[str]:
    fenced = _FENCE.findall(question)
    if fenced:
        return [str(block).rstrip("\n") for block in fenced]
    problem = find_problem(question)
    return [problem.program] if problem else []


def _calls_at_any_rate(question: str, function: Function) -> list[Call]:
    if function.name == CODE_TOOL:
        return [Call(CODE_TOOL, {"code": 'print("The message holds nothing to compute.")'})]
    return calls_of(function, question)


def _announcement(request: ChatRequest, calls: tuple[Call, ...], name: str | None) -> str:
    opening = f"Certainly, {name}." if name else "Certainly."
    used = dict.fromkeys(call.name for call in calls)
    plans = []
    if CODE_TOOL in used:
        plans.append(_intention(request.question))
    if FILE_TOOLS & used.keys():
        plans.append("I will search the files")
    if others := [other for other in used if other != CODE_TOOL and other not in FILE_TOOLS]:
        plans.append(f"I call {_joined(others)}")
    plan = " and ".join(plans)
    return f"{opening} {_INTRODUCTION[0].upper()}{_INTRODUCTION[1:]}. {plan[0].upper()}{plan[1:]}."


def _intention(question: str) -> str:
    if _FENCE.search(question):
        return "I will run your Python code"
    problem = find_problem(question)
    return f"I will {_task(problem)} with Python" if problem else "I will run some Python"


def _task(problem: Problem) -> str:
    return f"{'solve the equation' if problem.kind == 'equation' else 'compute'} `{problem.text}`"


def _answer(request: ChatRequest, name: str | None) -> str:
    answered = list(request.answered_calls())
    if answered:
        found = [_finding(request.question, call, output.strip()) for call, output in answered]
        return _addressed("\n".join(found), name)
    problem = find_problem(_FENCE.sub("", request.question))
    if problem is not None or _FENCE.search(request.question):
        task = _task(problem) if problem is not None else "run code"
        sentence = f"It cannot {task} without the Code Interpreter tool, which it may not use here."
        return _addressed(f"{_INTRODUCTION}. {sentence}", name)
    return _addressed(f"{_INTRODUCTION}. It can do simple mathematics and call tools. {_REMEDY}", name)


def _finding(question: str, call: CalledFunction, output: str) -> str:
    if call.name in FILE_TOOLS:
        quoted = quoted_answer(question, output)
        return f"the files say: {quoted}" if quoted else f"the search of the files returned: {output}"
    if call.name != CODE_TOOL:
        return f"{call.name} with {call.arguments} returned: {output}"
    if not output:
        return "the code ran and printed nothing."
    if _FAILED.search(output):
        return f"the code could not be run to its end. It reported:\n{output}"
    problem = None if _FENCE.search(question) else find_problem(question)
    return f"{_subject(problem)} {output.rstrip('.')}."


def _subject(problem: Problem | None) -> str:
    if problem is None:
        return "the code printed:"
    return f"the {'solution' if problem.kind == 'equation' else 'result'} of `{problem.text}` is"


def _addressed(sentence: str, name: str | None) -> str:
    if name:
        return f"{name}, {sentence}"
    # A function's name keeps its letters: upper case would make it another name.
    first = sentence.split(" ", 1)[0]
    return sentence if "_" in first else sentence[0].upper() + sentence[1:]


def _shaped(request: ChatRequest, text: str) -> str:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return text
    if wanted.json_schema is not None and wanted.json_schema.json_schema is not None:
        return json.dumps(filled(wanted.json_schema.json_schema, request.question), ensure_ascii=False)
    return json.dumps({"answer": text}, ensure_ascii=False)


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
