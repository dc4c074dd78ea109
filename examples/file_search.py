"""File search: a question about a file, an answer that cites it, and the citations as footnotes.

Runs unchanged under every openai package with version 2 of Assistants, from 1.21 to 3.x.
OPENAI_BASE_URL says where the server is, OPENAI_API_KEY holds its key.
"""

from openai import OpenAI

TERMS = """\
# Terms of the Riverside Bicycle Rental

## Prices
A day with a city bicycle costs 14 euros, with a cargo bicycle 32 euros.
Children under six ride along for nothing.

## Returning late
Whoever returns a bicycle late pays 3 euros for each hour begun, at most the price of a day.

## Damage
Punctures are repaired by us without charge. A lost key costs 25 euros.
"""

client = OpenAI()

terms = client.files.create(file=("terms.md", TERMS.encode()), purpose="assistants")
assistant = client.beta.assistants.create(
    name="Rental Help",
    instructions="You answer questions about the rental from its terms.",
    tools=[{"type": "file_search"}],
    model="gpt-4o",
)
thread = client.beta.threads.create(
    messages=[
        {
            "role": "user",
            "content": "What does a lost key cost, according to the file?",
            # puts the file into a vector store of the thread; the run waits until it can be searched
            "attachments": [{"file_id": terms.id, "tools": [{"type": "file_search"}]}],
        }
    ]
)
run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
print("run:", run.status)

for step in client.beta.threads.runs.steps.list(
    run_id=run.id,
    thread_id=thread.id,
    order="asc",
    extra_query={"include[]": "step_details.tool_calls[*].file_search.results[*].content"},
):
    print("step:", step.type)
    if step.step_details.type == "tool_calls":
        for call in step.step_details.tool_calls:
            for result in call.model_dump()["file_search"]["results"]:  # older types do not know them
                print("result:", result["file_name"], "has", len(result["content"][0]["text"]), "characters")

message = client.beta.threads.messages.list(thread_id=thread.id, limit=1).data[0]
for part in message.content:
    if part.type == "text":
        answer, notes = part.text.value, []
        for annotation in part.text.annotations:
            if annotation.type == "file_citation":
                cited = client.files.retrieve(annotation.file_citation.file_id)
                if cited.filename not in notes:
                    notes.append(cited.filename)
                answer = answer.replace(annotation.text, f" [{notes.index(cited.filename) + 1}]")
        print("assistant:", answer)
        for number, name in enumerate(notes, start=1):
            print(f"[{number}] {name}")
