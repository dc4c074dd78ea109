"""What is said once all is ready."""

import contextlib
import sys

from deploy.local import probes
from deploy.local.folder import DataFolder
from deploy.local.stack import Stack
from shared.version import VERSION

TEXT = """
Threadmill {version} is ready ({seconds:.1f} s)

  base URL   {base_url}
  API key    {api_key}
{docs}  model      {model} (--model-url names another one)
  data       {data}

Python (pip install openai); Ctrl-C here stops the server:

    from openai import OpenAI

    client = OpenAI(base_url="{base_url}", api_key="{api_key}")
    assistant = client.beta.assistants.create(
        model="gpt-4-1106-preview", name="Math Tutor", tools=[{{"type": "code_interpreter"}}]
    )
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(thread.id, role="user", content="Solve 3x + 11 = 14.")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    print(run.status, client.beta.threads.messages.list(thread.id).data[0].content[0].text.value)

"""


async def show(stack: Stack, folder: DataFolder, *, ready_after_s: float) -> None:
    text = TEXT.format(
        version=VERSION,
        seconds=ready_after_s,
        base_url=stack.base_url,
        api_key=stack.api_key,
        docs=await _docs(stack.base_url),
        model=stack.model_name,
        data=folder.path,
    )
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stdout.write(text)
        sys.stdout.flush()


async def _docs(base_url: str) -> str:
    """Return the line on the API's documentation, if the gateway serves that."""
    address = base_url.removesuffix("/v1") + "/docs"
    with contextlib.suppress(OSError, ValueError):
        status, _ = await probes.get(address)
        if status == 200:
            return f"  API docs   {address}\n"
    return ""
