"""Files with the official SDKs, old and new, as their users write it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.sdks import SDKS, Sdk
from tests.integration.running_gateway import KEY, running_gateway

pytestmark = pytest.mark.timeout(400)  # the first use installs

SCRIPTS = {
    "python": """
import pathlib
import openai

client = openai.OpenAI()
path = pathlib.Path("data.jsonl")
path.write_bytes(b'{"a": 1}\\n' * 50_000)
made = client.files.create(file=path.open("rb"), purpose="fine-tune")
print(made.filename, made.bytes, made.purpose)
print(client.files.retrieve(made.id).id == made.id, made.id in [each.id for each in client.files.list()])
print(client.files.content(made.id).content == path.read_bytes())
notes = client.files.create(file=("notes.txt", b"hello"), purpose="assistants")
try:
    client.files.content(notes.id)
except openai.BadRequestError as error:
    print(error.body["message"])
print(client.files.delete(made.id).deleted)
try:
    client.files.retrieve(made.id)
except openai.NotFoundError as error:
    print(error.code, error.param)
""",
    "node": """
import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const content = '{"a": 1}\\n'.repeat(50_000);
fs.writeFileSync("data.jsonl", content);
const made = await client.files.create({ file: fs.createReadStream("data.jsonl"), purpose: "fine-tune" });
console.log(made.filename, made.bytes, made.purpose);
const ids = [];
for await (const each of client.files.list()) ids.push(each.id);
const same = (await client.files.retrieve(made.id)).id === made.id;
const word = (truth) => (truth ? "True" : "False");
console.log(word(same), word(ids.includes(made.id)));
console.log(word((await (await client.files.content(made.id)).text()) === content));
const text = await toFile("hello", "notes.txt");
const notes = await client.files.create({ file: text, purpose: "assistants" });
await client.files.content(notes.id).catch((error) => console.log(error.error.message));
const gone = client.files.delete ? await client.files.delete(made.id) : await client.files.del(made.id);
console.log(word(gone.deleted));
await client.files.retrieve(made.id).catch((error) => console.log(error.code ?? "None", error.param));
""",
}
SAID = """data.jsonl 450000 fine-tune
True True
True
Not allowed to download files of purpose: assistants
True
None id
"""


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str) -> Iterator[str]:
    with running_gateway(kafka_bootstrap, mongo_url, f"gateway_{uuid4().hex[:12]}") as url:
        yield url


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
def test_files_are_uploaded_read_and_deleted(sdk: Sdk, url: str, tmp_path: Path) -> None:
    script = tmp_path / f"source{sdk.suffix}"
    script.write_text(SCRIPTS[sdk.language])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ended = sdk.run(script, scratch, base_url=f"{url}/v1", api_key=KEY)
    assert (ended.stdout, ended.returncode) == (SAID, 0), ended.stderr
