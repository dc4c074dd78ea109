"""The handles of a stack: processes killed, started again, doubled."""

from collections.abc import Callable

import pytest
from openai import AsyncOpenAI

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from deploy.local.stack import Stack


async def test_a_second_orchestrator_takes_over_from_the_first(own_stack: Callable[..., Stack]) -> None:
    quick = {"THREADMILL_LEASE_S": "2", "THREADMILL_HEARTBEAT_S": "0.5", "THREADMILL_SWEEP_S": "0.2"}

    async with own_stack(**quick) as stack:
        await stack.start("run_orchestrator-2")
        await stack.kill("run_orchestrator")

        assert "x = 1" in await ask(stack.base_url, stack.api_key)
        with pytest.raises(ProgramError):
            stack.pid("run_orchestrator")

        await stack.start("run_orchestrator")
        assert stack.is_ready("run_orchestrator")


async def test_one_stack_serves_a_session(threadmill: BackgroundStack) -> None:
    assert "x = 1" in await ask(threadmill.base_url, threadmill.api_key)
    assert threadmill.is_ready("gateway")


async def ask(base_url: str, api_key: str) -> str:
    """Return the answer to an equation; through the SDK, as everybody does."""
    async with AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        assistant = await client.beta.assistants.create(
            model="gpt-4-1106-preview", tools=[{"type": "code_interpreter"}]
        )
        thread = await client.beta.threads.create(
            messages=[
                {"role": "user", "content": "I need to solve the equation `3x + 11 = 14`. Can you help me?"}
            ]
        )
        run = await client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        assert run.status == "completed", run.last_error
        messages = await client.beta.threads.messages.list(thread.id)
    content = messages.data[0].content[0]
    assert content.type == "text"
    return content.text.value
