"""The Math Tutor: one question, one run that writes and runs code.

Runs unchanged under every openai package that has Assistants, from 1.2 to 3.x.
OPENAI_BASE_URL says where the server is, OPENAI_API_KEY holds its key.
"""

import time

from openai import OpenAI

client = OpenAI()

assistant = client.beta.assistants.create(
    name="Math Tutor",
    instructions="You are a personal math tutor. Write and run code to answer math questions.",
    tools=[{"type": "code_interpreter"}],
    model="gpt-4-1106-preview",
)
thread = client.beta.threads.create()
client.beta.threads.messages.create(
    thread_id=thread.id,
    role="user",
    content="I need to solve the equation `3x + 11 = 14`. Can you help me?",
)
for message in client.beta.threads.messages.list(thread_id=thread.id):
    print("message:", message.model_dump_json())

run = client.beta.threads.runs.create(
    thread_id=thread.id,
    assistant_id=assistant.id,
    instructions="Please address the user as Jane Doe. The user has a premium account.",
)
print("run:", run.status)
while run.status in ("queued", "in_progress"):
    time.sleep(0.5)
    run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
print("run:", run.status)

for message in client.beta.threads.messages.list(thread_id=thread.id, order="asc"):
    for part in message.content:
        if part.type == "text":
            print(f"{message.role}: {part.text.value}")

for step in client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id, order="asc"):
    print("step:", step.type)
    if step.step_details.type == "tool_calls":
        for call in step.step_details.tool_calls:
            if call.type == "code_interpreter":
                print("input:", call.code_interpreter.input)
                for output in call.code_interpreter.outputs:
                    if output.type == "logs":
                        print("logs:", output.logs)
