"""Vector stores with the official SDKs, as their users write it: the helpers that upload, wait and tell."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.sdks import SDKS, Sdk
from tests.integration.retrieval_stand_in import RESULT, searching
from tests.integration.running_gateway import KEY, running_gateway

pytestmark = pytest.mark.timeout(400)  # the first use installs

SCRIPTS = {
    "python": """
import pathlib
import openai

client = openai.OpenAI()
stores = client.vector_stores if hasattr(client, "vector_stores") else client.beta.vector_stores
for name in ("a.txt", "b.md", "c.csv", "d.txt"):
    pathlib.Path(name).write_text("Tea, please.")
store = stores.create(name="Manuals", expires_after={"anchor": "last_active_at", "days": 3})
print(store.name, store.status, store.file_counts.total, store.expires_at - store.last_active_at)
one = stores.files.upload_and_poll(vector_store_id=store.id, file=pathlib.Path("a.txt"))
print(one.status, one.last_error)
files = [pathlib.Path(name) for name in ("b.md", "c.csv")]
batch = stores.file_batches.upload_and_poll(store.id, files=files)
print(batch.status, batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total)
[failed] = list(stores.files.list(store.id, filter="failed"))
print(failed.last_error.code)
two = client.files.create(file=pathlib.Path("d.txt"), purpose="assistants")
print(stores.files.create_and_poll(two.id, vector_store_id=store.id).status)
print(len(list(stores.files.list(store.id, limit=2))), stores.retrieve(store.id).file_counts.total)
batch = stores.file_batches.create_and_poll(store.id, file_ids=[one.id, two.id])
print(batch.status, len(list(stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=1))))
print(stores.update(store.id, name="Tea").name)
assistant = client.beta.assistants.create(
    model="gpt-4",
    tools=[{"type": "file_search"}],
    tool_resources={"file_search": {"vector_store_ids": [store.id]}},
)
print(assistant.tool_resources.file_search.vector_store_ids == [store.id])
thread = client.beta.threads.create(
    messages=[
        {
            "role": "user",
            "content": "What is this?",
            "attachments": [{"file_id": two.id, "tools": [{"type": "file_search"}]}],
        }
    ]
)
[own] = thread.tool_resources.file_search.vector_store_ids
print([each.id for each in stores.files.list(own)] == [two.id])
if hasattr(stores, "search"):
    found = stores.search(store.id, query="tea")
    print([(each.filename, each.score, each.content[0].text) for each in found])
    told = stores.files.update(one.id, vector_store_id=store.id, attributes={"year": 2023})
    print(told.attributes)
print(stores.files.delete(one.id, vector_store_id=store.id).deleted, stores.delete(store.id).deleted)
try:
    stores.retrieve(store.id)
except openai.NotFoundError as error:
    print("not found" in error.body["message"])
""",
    "node": """
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const isNew = Boolean(client.vectorStores);
const stores = client.vectorStores ?? client.beta.vectorStores;
const word = (truth) => (truth ? "True" : "False");
const all = async (pages) => {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
};
for (const name of ["a.txt", "b.md", "c.csv", "d.txt"]) fs.writeFileSync(name, "Tea, please.");
const read = (name) => fs.createReadStream(name);
const store = await stores.create({ name: "Manuals", expires_after: { anchor: "last_active_at", days: 3 } });
console.log(store.name, store.status, store.file_counts.total, store.expires_at - store.last_active_at);
const one = await stores.files.uploadAndPoll(store.id, read("a.txt"));
console.log(one.status, one.last_error ?? "None");
let batch = await stores.fileBatches.uploadAndPoll(store.id, { files: [read("b.md"), read("c.csv")] });
console.log(batch.status, batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total);
const [failed] = await all(stores.files.list(store.id, { filter: "failed" }));
console.log(failed.last_error.code);
const two = await client.files.create({ file: read("d.txt"), purpose: "assistants" });
console.log((await stores.files.createAndPoll(store.id, { file_id: two.id })).status);
const count = (await all(stores.files.list(store.id, { limit: 2 }))).length;
console.log(count, (await stores.retrieve(store.id)).file_counts.total);
batch = await stores.fileBatches.createAndPoll(store.id, { file_ids: [one.id, two.id] });
const listed = isNew
  ? stores.fileBatches.listFiles(batch.id, { vector_store_id: store.id, limit: 1 })
  : stores.fileBatches.listFiles(store.id, batch.id, { limit: 1 });
console.log(batch.status, (await all(listed)).length);
console.log((await stores.update(store.id, { name: "Tea" })).name);
const assistant = await client.beta.assistants.create({
  model: "gpt-4",
  tools: [{ type: "file_search" }],
  tool_resources: { file_search: { vector_store_ids: [store.id] } },
});
console.log(word(assistant.tool_resources.file_search.vector_store_ids[0] === store.id));
const attachments = [{ file_id: two.id, tools: [{ type: "file_search" }] }];
const messages = [{ role: "user", content: "What is this?", attachments }];
const thread = await client.beta.threads.create({ messages });
const [own] = thread.tool_resources.file_search.vector_store_ids;
console.log(word((await all(stores.files.list(own)))[0].id === two.id));
if (isNew) {
  const [hit] = await all(stores.search(store.id, { query: "tea" }));
  console.log(`[('${hit.filename}', ${hit.score}, '${hit.content[0].text}')]`);
  const attributes = { year: 2023 };
  const told = await stores.files.update(one.id, { vector_store_id: store.id, attributes });
  console.log(`{'year': ${told.attributes.year}}`);
}
const gone = isNew
  ? [await stores.files.delete(one.id, { vector_store_id: store.id }), await stores.delete(store.id)]
  : [await stores.files.del(store.id, one.id), await stores.del(store.id)];
console.log(...gone.map((each) => word(each.deleted)));
await stores.retrieve(store.id).catch((error) => console.log(word(error.message.includes("not found"))));
""",
}
SAID = """Manuals completed 0 259200
completed None
completed 1 1 2
unsupported_file
completed
4 4
completed 2
Tea
True
True
"""
SEARCHED = """[('a.txt', 0.75, 'The chunk.')]
{'year': 2023}
"""
GONE = """True True
True
"""


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, mongo_url: str) -> Iterator[str]:
    name = f"gateway_{uuid4().hex[:12]}"
    with (
        running_gateway(kafka_bootstrap, mongo_url, name) as url,
        searching(kafka_bootstrap, mongo_url, name) as searcher,
    ):
        searcher.takes_in, searcher.results = True, [RESULT]
        yield url


@pytest.mark.parametrize("sdk", [each for each in SDKS if each.beta == "v2"], ids=lambda sdk: sdk.name)
def test_helpers_upload_wait_and_tell(sdk: Sdk, url: str, tmp_path: Path) -> None:
    script = tmp_path / f"source{sdk.suffix}"
    script.write_text(SCRIPTS[sdk.language])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ended = sdk.run(script, scratch, base_url=f"{url}/v1", api_key=KEY)
    is_old = sdk.version in ("1.50.0", "4.67.3")
    said = ended.stdout.replace("2023.0", "2023")  # newer Python SDKs read numbers as floats
    assert (said, ended.returncode) == (SAID + ("" if is_old else SEARCHED) + GONE, 0), ended.stderr
