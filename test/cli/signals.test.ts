/** Ctrl-C while serving and while answering: what is under way ends cleanly, a second one leaves at once. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { interruptible, show } from "../../src/cli/output.ts";
import { paramsFor } from "../../src/engine/defaults.ts";
import { fakeLlm } from "../serve/fake-llm.ts";

async function start(): Promise<{ child: ChildProcess; url: string; ended: Promise<unknown[]> }> {
  const child = spawn(process.execPath, ["--import", "tsx", "test/cli/serve-fake.ts"], { stdio: ["ignore", "pipe", "inherit"] }); // prettier-ignore
  const ended = once(child, "exit");
  const [url] = (await once(child.stdout!, "data")) as [Buffer];
  return { child, url: url.toString().trim(), ended };
}

/** An answer of 5000 words, of which the first have come. */
async function startAnswer(url: string): Promise<AsyncIterator<Uint8Array>> {
  const body = JSON.stringify({ model: "fake", messages: [{ role: "user", content: "long" }], stream: true });
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body });
  const reader = response.body![Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  await reader.next();
  return reader;
}

async function rest(reader: AsyncIterator<Uint8Array>): Promise<string> {
  let text = "";
  for (;;) {
    const { value, done } = await reader.next();
    if (done) return text;
    text += new TextDecoder().decode(value);
  }
}

test("Ctrl-C while serving: the answer under way ends whole, nobody new is let in, exit code 0", async () => {
  const { child, url, ended } = await start();
  const answer = await startAnswer(url);
  child.kill("SIGINT");
  const text = rest(answer);
  const [said] = (await once(child.stdout!, "data")) as [Buffer];
  assert.match(said.toString(), /finishing 1 answer/);
  // A connection of its own, so that it does not wait behind the answer's.
  await assert.rejects(fetch(`${url}/health`, { headers: { connection: "close" } }));
  assert.match(await text, /"finish_reason":"stop"[\s\S]*data: \[DONE\]\s*$/);
  assert.deepEqual(await ended, [0, null]);
});

test("an idle server leaves at once with 0; a second Ctrl-C does not wait", async () => {
  const idle = await start();
  await (await fetch(`${idle.url}/health`)).text();
  idle.child.kill("SIGTERM");
  assert.deepEqual(await idle.ended, [0, null]);

  const busy = await start();
  const answer = await startAnswer(busy.url);
  busy.child.kill("SIGINT");
  await once(busy.child.stdout!, "data");
  busy.child.kill("SIGINT");
  assert.deepEqual(await busy.ended, [130, null]);
  await assert.rejects(rest(answer));
});

test("Ctrl-C while answering in the terminal keeps what was said and gives the signal back", async () => {
  const before = process.listenerCount("SIGINT");
  const shown = await interruptible(async (signal) => {
    const deltas = fakeLlm.generate({ messages: [{ role: "user", content: "long" }], modality: "text", thinking: false, params: paramsFor("text", {}), signal }); // prettier-ignore
    const watched = (async function* () {
      let n = 0;
      for await (const delta of deltas) {
        if (++n === 3) process.emit("SIGINT");
        yield delta;
      }
    })();
    return show(watched, { fileFor: () => "never", quiet: true });
  });
  assert.equal(shown.text, "word word word ");
  assert.equal(shown.finishReason, "abort");
  assert.equal(process.listenerCount("SIGINT"), before);
});
