"""Answers of the original service, as recorded: keys in their order, values for their types.

v1: November 2023, by the tests of alexrudall/ruby-openai (MIT). v2: October 2025, by the tests
of openai/openai-dotnet (MIT). Ids are shortened.
"""

import json
from typing import Any

from shared.runs.model import Json

ASSISTANT_V1 = """
{"id": "asst_x", "object": "assistant", "created_at": 1699998504, "name": "OpenAI-Ruby test assistant",
 "description": null, "model": "gpt-4", "instructions": null, "tools": [], "file_ids": [], "metadata": {}}
"""
ASSISTANT_V2 = """
{"id": "asst_x", "object": "assistant", "created_at": 1761861547, "name": null, "description": null,
 "model": "gpt-4o", "instructions": null, "tools": [], "top_p": 1.0, "temperature": 1.0,
 "reasoning_effort": null, "tool_resources": {}, "metadata": {}, "response_format": "auto"}
"""
THREAD_V1 = """
{"id": "thread_x", "object": "thread", "created_at": 1699998574, "metadata": {"modified": "True"}}
"""
THREAD_V2 = """
{"id": "thread_x", "object": "thread", "created_at": 1761861548, "metadata": {}, "tool_resources": {}}
"""
MESSAGE_V1 = """
{"id": "msg_x", "object": "thread.message", "created_at": 1699998563, "thread_id": "thread_x",
 "role": "user", "content": [{"type": "text", "text": {"value": "Can you help me?", "annotations": []}}],
 "file_ids": [], "assistant_id": null, "run_id": null, "metadata": {}}
"""
MESSAGE_V2 = """
{"id": "msg_x", "object": "thread.message", "created_at": 1761861548, "assistant_id": null,
 "thread_id": "thread_x", "run_id": null, "role": "user",
 "content": [{"type": "text", "text": {"value": "Hello, assistant!", "annotations": []}}],
 "attachments": [], "metadata": {}}
"""
RUN_V1 = """
{"id": "run_x", "object": "thread.run", "created_at": 1699998569, "assistant_id": "asst_x",
 "thread_id": "thread_x", "status": "queued", "started_at": null, "expires_at": 1699999169,
 "cancelled_at": null, "failed_at": null, "completed_at": null, "last_error": null, "model": "gpt-4",
 "instructions": null, "tools": [], "file_ids": [], "metadata": {}}
"""
RUN_V2 = """
{"id": "run_x", "object": "thread.run", "created_at": 1761861549, "assistant_id": "asst_x",
 "thread_id": "thread_x", "status": "queued", "started_at": null, "expires_at": 1761862149,
 "cancelled_at": null, "failed_at": null, "completed_at": null, "required_action": null,
 "last_error": null, "model": "gpt-4o", "instructions": null, "tools": [], "tool_resources": {},
 "metadata": {}, "temperature": 1.0, "top_p": 1.0, "reasoning_effort": null,
 "max_completion_tokens": null, "max_prompt_tokens": null,
 "truncation_strategy": {"type": "auto", "last_messages": null}, "incomplete_details": null,
 "usage": null, "response_format": "auto", "tool_choice": "auto", "parallel_tool_calls": true}
"""
FUNCTION_V2 = """
{"type": "function", "function": {"name": "get_current_weather",
 "description": "Gets the user's current weather",
 "parameters": {"type": "object", "properties": {}}, "strict": false}}
"""
# September 2025, by the tests of openai/openai-dotnet (MIT)
VECTOR_STORE = """
{"id": "vs_x", "object": "vector_store", "created_at": 1758064158, "name": null, "description": null,
 "usage_bytes": 0, "file_counts": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
 "status": "completed", "expires_after": null, "expires_at": null, "last_active_at": 1758064158,
 "metadata": {}}
"""
VECTOR_STORE_FILE = """
{"id": "file-x", "object": "vector_store.file", "usage_bytes": 1045, "created_at": 1758064162,
 "vector_store_id": "vs_x", "status": "completed", "last_error": null,
 "chunking_strategy": {"type": "static",
  "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}, "attributes": {}}
"""
FILE_BATCH = """
{"id": "vsfb_x", "object": "vector_store.file_batch", "created_at": 1758064162, "status": "in_progress",
 "vector_store_id": "vs_x",
 "file_counts": {"in_progress": 5, "completed": 0, "failed": 0, "cancelled": 0, "total": 5}}
"""
EMPTY_LIST = """{"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false}"""


def check_shape(answer: Json, recorded: str) -> None:
    """Every recorded key is there, in the recorded order and with a value of the recorded type.

    What later versions of the service added may stand between.
    """
    expected: Json = json.loads(recorded)
    assert [name for name in answer if name in expected] == list(expected)
    for name, value in expected.items():
        assert _alike(answer[name], value), f"{name}: {answer[name]!r} where {value!r} was recorded"


def _alike(value: Any, recorded: Any) -> bool:
    if isinstance(recorded, dict) and recorded:
        return list(value) == list(recorded) and all(_alike(value[name], recorded[name]) for name in recorded)
    if isinstance(recorded, list) and recorded:
        return all(_alike(each, recorded[0]) for each in value)
    return type(value) is type(recorded)
