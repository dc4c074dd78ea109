"""Function calling: the run stops, this program answers both calls at once, the run goes on."""

import json
import time

from openai import OpenAI


def get_weather(city: str) -> str:
    return {"Paris": "18 degrees, rain", "London": "15 degrees, fog"}.get(city, "unknown")


client = OpenAI()

assistant = client.beta.assistants.create(
    instructions="You are a weather bot.",
    tools=[
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Get the weather in a city",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
    model="gpt-4-1106-preview",
)
thread = client.beta.threads.create()
client.beta.threads.messages.create(
    thread_id=thread.id, role="user", content="How is the weather in Paris and in London?"
)
run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
while run.status in ("queued", "in_progress", "requires_action"):
    if run.status == "requires_action" and run.required_action:
        calls = run.required_action.submit_tool_outputs.tool_calls
        print("calls:", [f"{call.function.name} {call.function.arguments}" for call in calls])
        run = client.beta.threads.runs.submit_tool_outputs(
            thread_id=thread.id,
            run_id=run.id,
            tool_outputs=[
                {"tool_call_id": call.id, "output": get_weather(**json.loads(call.function.arguments))}
                for call in calls
            ],
        )
    time.sleep(0.5)
    run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
print("run:", run.status)

for message in client.beta.threads.messages.list(thread_id=thread.id, order="asc"):
    for part in message.content:
        if part.type == "text":
            print(f"{message.role}: {part.text.value}")
