/** `tessera serve` without a model, for the test of its end: prints the address, then waits for Ctrl-C. */
import { untilStopped } from "../../src/cli/serve.ts";
import { createApp } from "../../src/serve/app.ts";
import { listen } from "../../src/serve/listen.ts";
import { Queue } from "../../src/serve/queue.ts";
import { fakeLlm } from "../serve/fake-llm.ts";

const queue = new Queue();
const server = await listen(createApp({ llm: fakeLlm, queue }), { host: "127.0.0.1", port: 0 });
process.stdout.write(`${server.url}\n`);
await untilStopped(server, queue);
process.exit(0);
