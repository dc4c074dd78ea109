// The Math Tutor's run as a stream: text, code and logs are printed as they come.
//
// Needs the openai package 4.36 or later.

import OpenAI from "openai";

const openai = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const write = (text) => process.stdout.write(text ?? "");

const assistant = await openai.beta.assistants.create({
  name: "Math Tutor",
  instructions: "You are a personal math tutor. Write and run code to answer math questions.",
  tools: [{ type: "code_interpreter" }],
  model: "gpt-4-1106-preview",
});
const thread = await openai.beta.threads.create();
await openai.beta.threads.messages.create(thread.id, {
  role: "user",
  content: "I need to solve the equation `3x + 11 = 14`. Can you help me?",
});

const stream = openai.beta.threads.runs
  .stream(thread.id, {
    assistant_id: assistant.id,
    instructions: "Please address the user as Jane Doe. The user has a premium account.",
  })
  .on("textDelta", (delta) => write(delta.value))
  .on("textDone", () => write("\n"))
  .on("toolCallDelta", (delta) => {
    if (delta.type !== "code_interpreter") return;
    write(delta.code_interpreter.input);
    for (const output of delta.code_interpreter.outputs ?? []) {
      if (output.type === "logs") write(`\nlogs: ${output.logs}\n`);
    }
  });

const run = await stream.finalRun();
console.log("run:", run.status);
