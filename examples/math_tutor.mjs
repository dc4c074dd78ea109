// The Math Tutor: one question, one run that writes and runs code.
//
// Runs unchanged under every openai package that has Assistants, from 4.16 to 7.x.
// OPENAI_BASE_URL says where the server is, OPENAI_API_KEY holds its key.

import OpenAI from "openai";
import { VERSION } from "openai/version";

const openai = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const { messages, runs } = openai.beta.threads;

// Since version 5 the last id of a path comes first, and the others by name.
const namesIds = Number.parseInt(VERSION) >= 5;
const ids = (threadId, runId) => (namesIds ? [runId, { thread_id: threadId }] : [threadId, runId]);

const assistant = await openai.beta.assistants.create({
  name: "Math Tutor",
  instructions: "You are a personal math tutor. Write and run code to answer math questions.",
  tools: [{ type: "code_interpreter" }],
  model: "gpt-4-1106-preview",
});
const thread = await openai.beta.threads.create();
await messages.create(thread.id, {
  role: "user",
  content: "I need to solve the equation `3x + 11 = 14`. Can you help me?",
});
for await (const message of messages.list(thread.id)) console.log("message:", JSON.stringify(message));

let run = await runs.create(thread.id, {
  assistant_id: assistant.id,
  instructions: "Please address the user as Jane Doe. The user has a premium account.",
});
console.log("run:", run.status);
while (["queued", "in_progress"].includes(run.status)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  run = await runs.retrieve(...ids(thread.id, run.id));
}
console.log("run:", run.status);

for await (const message of messages.list(thread.id, { order: "asc" })) {
  for (const part of message.content) console.log(`${message.role}: ${part.text?.value}`);
}

const steps = [];
for await (const step of runs.steps.list(...ids(thread.id, run.id))) steps.unshift(step); // newest come first
for (const step of steps) {
  console.log("step:", step.type);
  for (const call of step.step_details.tool_calls ?? []) {
    console.log("input:", call.code_interpreter.input);
    for (const output of call.code_interpreter.outputs) console.log("logs:", output.logs);
  }
}
