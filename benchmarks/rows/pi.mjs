// pi (npm): the session manager of `@mariozechner/pi-coding-agent`, a tree in a JSONL file.
// Speaks the same protocol as the Python rows; the messages come from the file `params.pool`.
//
// It appends with `appendFileSync` and never syncs, so an acknowledged message survives a kill.
// Nothing is on disk before the first answer of an assistant; so each session begins with one.

import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// Installed in the folder of its own that PI_HOME names, not beside this file.
const home = process.env.PI_HOME;
const base = join(home, "node_modules/@mariozechner/pi-coding-agent");
const main = JSON.parse(readFileSync(join(base, "package.json"))).exports["."].import;
const { SessionManager } = await import(pathToFileURL(join(base, main)));

const clock = () => Number(process.hrtime.bigint()) / 1e9;
const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0 };
const model = { api: "none", provider: "none", model: "none", usage, stopReason: "stop" };
const FIRST = { role: "assistant", content: [{ type: "text", text: "Hello." }], ...model };

function native([kind, text, call]) {
  const said = [{ type: "text", text }];
  if (kind === "user") return { role: "user", content: said, timestamp: 1 };
  if (kind === "tool_result")
    return { role: "toolResult", toolCallId: call, toolName: "look_up", content: said, isError: false, timestamp: 1 };
  if (kind === "tool_call") {
    const block = { type: "toolCall", id: call, name: "look_up", arguments: { query: text } };
    return { role: "assistant", content: [block], ...model, timestamp: 1 };
  }
  return { role: "assistant", content: said, ...model, timestamp: 1 };
}

function textOf(entry) {
  const block = entry.message.content[0];
  return block.type === "toolCall" ? block.arguments.query : block.text;
}

function dialogue(params, count, start = 0) {
  const pool = JSON.parse(readFileSync(params.pool, "utf8"));
  return Array.from({ length: count }, (_, n) => pool[(start + n) % pool.length]);
}

function find(params) {
  const folder = join(params.folder, params.session ?? "one");
  mkdirSync(folder, { recursive: true });
  const name = readdirSync(folder).find((name) => name.endsWith(".jsonl"));
  if (name) return SessionManager.open(join(folder, name), folder);
  const made = SessionManager.create(folder, folder);
  made.appendMessage(FIRST);
  return made;
}

const entries = (session) => session.getEntries().filter((entry) => entry.type === "message").slice(1);

function appends(session, messages, budget) {
  const began = clock();
  let done = 0;
  for (const message of messages) {
    session.appendMessage(message);
    done += 1;
    if (budget && done % 16 === 0 && clock() - began > budget) break;
  }
  return { seconds: clock() - began, operations: done, valid: true };
}

function verdict(answer, found, expected) {
  if (JSON.stringify(found) === JSON.stringify(expected)) return answer;
  return { ...answer, valid: false, why: `read ${found.length}, expected ${expected.length}` };
}

const workloads = {
  append(params) {
    const turns = dialogue(params, params.count);
    const answer = appends(find(params), turns.map(native), params.budget);
    const expected = turns.slice(0, answer.operations).map((turn) => turn[1]);
    return verdict({ ...answer, promise: "process" }, entries(find(params)).map(textOf), expected);
  },
  fill(params) {
    const answer = appends(find(params), dialogue(params, params.count).map(native), params.budget);
    return { ...answer, full: answer.operations === params.count };
  },
  grown(params) {
    const session = find(params);
    return appends(session, dialogue(params, params.count).map(native), params.budget);
  },
  read(params) {
    const began = clock();
    const found = entries(find(params));
    const seconds = clock() - began;
    const expected = dialogue(params, params.expect).map((turn) => turn[1]);
    // What K appended to it in an earlier repetition stands behind.
    const first = found.slice(0, params.expect).map(textOf);
    return verdict({ seconds, operations: found.length, valid: true }, first, expected);
  },
  last(params) {
    const began = clock();
    const found = entries(find(params)).slice(-20);
    const answer = { seconds: clock() - began, operations: 1, valid: found.length === 20 };
    if (params.expect === undefined) return answer;
    const expected = dialogue(params, 20, params.expect - 20).map((turn) => turn[1]);
    return verdict(answer, found.map(textOf), expected);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  let answer;
  try {
    answer = workloads[job.workload](job.params);
  } catch (error) {
    answer = { error: String(error).slice(0, 300) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
