"""The reply as the API writes it: one JSON object, or a stream of chunks."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from deploy.local.demo_model.reply import Call, Reply
from deploy.local.demo_model.request import ChatRequest

Json = dict[str, Any]
_FINGERPRINT = "fp_threadmill_demo"
_PIECE_CHARACTERS = 16  # of a call's arguments in one chunk


def completion(request: ChatRequest, reply: Reply, created_at: int) -> Json:
    calls = [_call(request, reply, index, call.arguments_json) for index, call in enumerate(reply.calls)]
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return _head(request, created_at, "chat.completion") | {
        "choices": [choice],
        "usage": usage(request, reply),
    }


def chunks(request: ChatRequest, reply: Reply, created_at: int) -> Iterator[Json]:
    """Role, words, calls piece by piece, the reason for the end, and the usage if it was asked for."""
    wants_usage = request.stream_options is not None and request.stream_options.include_usage
    head = _head(request, created_at, "chat.completion.chunk") | ({"usage": None} if wants_usage else {})

    def chunk(delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return head | {"choices": [choice]}

    yield chunk({"role": "assistant", "content": "" if reply.text else None, "refusal": None})
    for word in reply.words:
        yield chunk({"content": word})
    for index, call in enumerate(reply.calls):
        yield chunk({"tool_calls": [{"index": index, **_call(request, reply, index, "")}]})
        for piece in _pieces(call):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, reply.finish_reason)
    if wants_usage:
        yield head | {"choices": [], "usage": usage(request, reply)}


def frame(data: Json | str) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def usage(request: ChatRequest, reply: Reply) -> Json:
    prompt = -(-len(_conversation(request)) // 4)
    completion = min(reply.tokens, request.most_words or reply.tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": "threadmill"}


def error(message: str, *, param: str | None = None, code: str | None = None) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _head(request: ChatRequest, created_at: int, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{_digest(request, 'completion')}",
        "object": kind,
        "created": created_at,
        "model": request.model,
        "system_fingerprint": _FINGERPRINT,
    }


def _call(request: ChatRequest, reply: Reply, index: int, arguments: str) -> Json:
    name = reply.calls[index].name
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{_digest(request, f'call {index}')}", "type": "function", "function": function}


def _pieces(call: Call) -> Iterator[str]:
    text = call.arguments_json
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]


def _conversation(request: ChatRequest) -> str:
    return request.model_dump_json(include={"messages", "tools"}, exclude_none=True)


def _digest(request: ChatRequest, purpose: str) -> str:
    """Ids follow from the conversation, so that a repeated request gets the same ones."""
    return hashlib.sha256(f"{purpose}:{_conversation(request)}".encode()).hexdigest()[:24]
