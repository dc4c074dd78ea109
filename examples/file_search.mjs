// File search: a question about a file, an answer that cites it, and the citations as footnotes.
//
// Runs unchanged under every openai package with version 2 of Assistants, from 4.38 to 7.x.
// OPENAI_BASE_URL says where the server is, OPENAI_API_KEY holds its key.

import OpenAI, { toFile } from "openai";

const TERMS = `\
# Terms of the Riverside Bicycle Rental

## Prices
A day with a city bicycle costs 14 euros, with a cargo bicycle 32 euros.
Children under six ride along for nothing.

## Returning late
Whoever returns a bicycle late pays 3 euros for each hour begun, at most the price of a day.

## Damage
Punctures are repaired by us without charge. A lost key costs 25 euros.
`;

const openai = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const { messages, runs } = openai.beta.threads;

const terms = await openai.files.create({
  file: await toFile(Buffer.from(TERMS), "terms.md"),
  purpose: "assistants",
});
const assistant = await openai.beta.assistants.create({
  name: "Rental Help",
  instructions: "You answer questions about the rental from its terms.",
  tools: [{ type: "file_search" }],
  model: "gpt-4o",
});
const thread = await openai.beta.threads.create({
  messages: [
    {
      role: "user",
      content: "What does a lost key cost, according to the file?",
      // puts the file into a vector store of the thread; the run waits until it can be searched
      attachments: [{ file_id: terms.id, tools: [{ type: "file_search" }] }],
    },
  ],
});

const run = runs.stream(thread.id, { assistant_id: assistant.id });
run.on("toolCallDone", (call) => {
  for (const result of call.file_search.results) console.log("result:", result.file_name);
});
const ended = await run.finalRun();
console.log("run:", ended.status);

const [message] = (await messages.list(thread.id, { limit: 1 })).data;
for (const { text } of message.content) {
  let answer = text.value;
  const notes = [];
  for (const annotation of text.annotations) {
    const cited = await openai.files.retrieve(annotation.file_citation.file_id);
    if (!notes.includes(cited.filename)) notes.push(cited.filename);
    answer = answer.replaceAll(annotation.text, ` [${notes.indexOf(cited.filename) + 1}]`);
  }
  console.log("assistant:", answer);
  notes.forEach((name, place) => console.log(`[${place + 1}] ${name}`));
}
