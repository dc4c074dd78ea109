"""A conversation through the official SDK, written out as it streams in."""

import time
from typing import TextIO

from openai import AsyncOpenAI, OpenAIError
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads.runs import CodeInterpreterToolCallDelta
from openai.types.beta.threads.runs.code_interpreter_tool_call_delta import CodeInterpreter

from deploy.local.transcript import Transcript

MODEL = "gpt-4-1106-preview"
QUESTION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"
INSTRUCTIONS = "Please address the user as Jane Doe. The user has a premium account."
ANSWER_WITHIN_S = 120.0


class ConversationFailed(Exception):
    """The conversation did not come to its end; the message says how far it came."""


async def shown(base_url: str, api_key: str, to: TextIO) -> bool:
    """Hold the conversation on ``to``; when it fails, say why there and return False."""
    transcript = Transcript(to)
    client = AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=ANSWER_WITHIN_S, max_retries=1)
    began = time.monotonic()
    try:
        async with client:
            await _converse(client, transcript)
    except (ConversationFailed, OpenAIError) as error:
        transcript.end(f"The conversation failed: {error}")
        return False
    transcript.end(f"Completed in {time.monotonic() - began:.1f} s.")
    return True


async def _converse(client: AsyncOpenAI, transcript: Transcript) -> None:
    assistant = await client.beta.assistants.create(
        model=MODEL,
        name="Math Tutor",
        instructions="You are a personal math tutor. Write and run code to answer math questions.",
        tools=[{"type": "code_interpreter"}],
    )
    thread = await client.beta.threads.create()
    await client.beta.threads.messages.create(thread.id, role="user", content=QUESTION)
    transcript.say("user", QUESTION)
    stream = client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, instructions=INSTRUCTIONS
    )
    async with stream as events:
        async for event in events:
            _show(event, transcript)
        run = await events.get_final_run()
    if run.status != "completed":
        why = f": {run.last_error.message}" if run.last_error else ""
        raise ConversationFailed(f"the run ended as {run.status}{why}")


def _show(event: AssistantStreamEvent, transcript: Transcript) -> None:
    if event.event == "thread.message.delta":
        for part in event.data.delta.content or []:
            if part.type == "text" and part.text and part.text.value:
                transcript.say("assistant", part.text.value)
    elif event.event == "thread.run.step.delta":
        details = event.data.delta.step_details
        for call in (details.tool_calls or []) if details and details.type == "tool_calls" else []:
            if isinstance(call, CodeInterpreterToolCallDelta) and call.code_interpreter:
                _show_code(call.code_interpreter, transcript)
    elif event.event == "error":
        raise ConversationFailed(event.data.message)


def _show_code(code: CodeInterpreter, transcript: Transcript) -> None:
    if code.input:
        transcript.say("code", code.input)
    for output in code.outputs or []:
        transcript.say("output", (output.logs or "") if output.type == "logs" else "(an image)")
