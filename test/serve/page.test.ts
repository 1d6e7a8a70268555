/** The chat page in a real headless Chromium; skipped by name where there is none. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import sharp from "sharp";
import type { Hono } from "hono";
import type { Llm } from "../../src/engine/types.ts";
import { createApp, pageFile } from "../../src/serve/app.ts";
import { listen, type Listening } from "../../src/serve/listen.ts";
import { startingFetch } from "../../src/serve/starting.ts";
import { fakeLlm } from "./fake-llm.ts";

const paths = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = paths.find((path) => path !== undefined && existsSync(path));
// prettier-ignore
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

describe("the page", { skip: executablePath ? false : "no Chromium" }, () => {
  let server: Listening;
  let browser: Browser;
  const problems: string[] = [];
  before(async () => {
    server = await listen(createApp({ llm: fakeLlm, webDir: "src/web" }), { host: "127.0.0.1", port: 0 });
    browser = await chromium.launch({ executablePath: executablePath!, args });
  });
  after(async () => {
    await browser.close();
    await server.close();
  });
  const open = async (options: { width: number; height: number; locale: string }): Promise<Page> => {
    const { width, height, locale } = options;
    const page = await browser.newPage({ viewport: { width, height }, locale });
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(server.url);
    return page;
  };
  const phone = { width: 390, height: 844, locale: "en-US" };
  const desktop = { width: 1280, height: 800, locale: "en-US" };
  const choose = (page: Page, modality: string) => page.locator(`input[value=${modality}] + span`).click();
  const say = async (page: Page, text: string): Promise<void> => {
    await page.locator("#prompt").fill(text);
    await page.locator("#prompt").press("Enter");
  };
  const idle = (page: Page) => page.locator("body:not(.busy)").waitFor();
  const fits = (page: Page) => page.evaluate("document.documentElement.scrollWidth <= innerWidth && document.getElementById('form').scrollWidth <= document.getElementById('form').clientWidth"); // prettier-ignore

  test("streams text and shows the thinking as a list of steps", async () => {
    const page = await open(phone);
    await page.locator("#thinking + span").click();
    await say(page, "hi");
    await page.getByText("Hello world!").waitFor();
    await idle(page);
    assert.deepEqual(await page.locator("details li").allTextContents(), ["first", "then"]);
    assert.equal(await page.locator("summary").textContent(), "Thought in 2 steps");
    assert.equal(await page.locator(".turn.assistant").getAttribute("aria-busy"), "false");
    assert.equal(await fits(page), true, "nothing sticks out");
    await page.close();
  });

  test("a question that comes before the model is ready waits for it", async () => {
    let open!: (app: Hono) => void;
    const ready = new Promise<Hono>((resolve) => (open = resolve));
    const files = (request: Request): Promise<Response | undefined> => pageFile("src/web", new URL(request.url).pathname); // prettier-ignore
    const early = await listen({ fetch: startingFetch({ ready, progress: () => undefined, files }) }, { host: "127.0.0.1", port: 0 }); // prettier-ignore
    const page = await browser.newPage({ locale: "en-US" });
    await page.goto(early.url);
    await say(page, "hi");
    await page.locator("body.busy").waitFor();
    open(createApp({ llm: fakeLlm }));
    await page.getByText("Hello world!").waitFor();
    await page.close();
    await early.close();
  });

  test("earlier turns are sent to a model that has learned to talk, and to no other", async () => {
    for (const talks of [true, false]) {
      const seen: number[] = [];
      const llm: Llm = {
        info: { ...fakeLlm.info, talks },
        countTokens: (request) => fakeLlm.countTokens(request),
        generate(request) {
          seen.push(request.messages.length);
          return fakeLlm.generate(request);
        },
      };
      const own = await listen(createApp({ llm, webDir: "src/web" }), { host: "127.0.0.1", port: 0 });
      const page = await browser.newPage({ locale: "en-US" });
      await page.goto(own.url);
      for (let n = 1; n <= 2; n++) {
        await say(page, "hi");
        await page
          .locator(".turn.assistant")
          .nth(n - 1)
          .getByText("Hello world!")
          .waitFor();
        await idle(page);
      }
      assert.deepEqual(seen, talks ? [1, 3] : [1, 1]);
      await page.close();
      await own.close();
    }
  });

  test("a picture takes the place that its tiles held, with a name and a download", async () => {
    const page = await open(desktop);
    await choose(page, "image");
    await say(page, "sun");
    const before = await page.locator("figure").boundingBox();
    await page.locator("img.media").waitFor();
    assert.deepEqual(await page.locator("figure").boundingBox(), before, "no layout shift");
    assert.equal(await page.getByAltText("Picture: sun").count(), 1);
    assert.equal(await page.locator("figcaption a").getAttribute("download"), "tessera.png");
    await page.close();
  });

  test("a clip plays by itself, in a loop, and stops on a click", async () => {
    const page = await open(phone);
    await choose(page, "video");
    await say(page, "ball");
    const clip = page.locator("video.media");
    await clip.waitFor();
    await page.waitForFunction("document.querySelector('video').currentTime > 0");
    const state = (): Promise<unknown> => page.evaluate("(({ paused, loop, muted, videoWidth }) => [paused, loop, muted, videoWidth])(document.querySelector('video'))"); // prettier-ignore
    assert.deepEqual(await state(), [false, true, true, 256]);
    await clip.click();
    assert.deepEqual(await state(), [true, true, true, 256]);
    assert.equal(await page.locator("figcaption a").getAttribute("download"), "tessera.mp4");
    await page.close();
  });

  test("examples can be clicked, in English and Chinese", async () => {
    const page = await open({ ...phone, locale: "zh-CN" });
    assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
    assert.equal(await page.locator("#clear").textContent(), "新对话");
    assert.equal(await fits(page), true);
    await page.locator("#ideas button").first().click();
    await page.getByText("思考了 2 步").waitFor();
    await idle(page);
    await page.locator("#language").click();
    assert.equal(await page.locator("#clear").textContent(), "New chat");
    await page.locator("#clear").click();
    assert.equal(await page.locator("h1").textContent(), "Write, draw, animate");
    assert.match(await page.locator("#ideas").innerText(), /一个红色的圆形/);
    await page.close();
  });

  test("Escape and the button stop an answer; what was said stays", async () => {
    const page = await open(desktop);
    for (const stop of [
      () => page.keyboard.press("Escape"),
      () => page.getByRole("button", { name: "Stop" }).click(),
    ]) {
      await say(page, "long");
      await page.locator(".turn.assistant").last().getByText("word word").waitFor();
      await stop();
      await idle(page);
      assert.match(await page.locator(".turn.assistant").last().innerText(), /^word [\s\S]*Stopped\.$/);
    }
    await page.close();
  });

  test("an error is said in a toast and in place, and the prompt comes back", async () => {
    const page = await open(phone);
    const long = "x".repeat(200);
    await say(page, long);
    await page.locator("#toast").getByText("at most 100 tokens, got 200").waitFor();
    await idle(page);
    assert.equal(await page.locator("#prompt").inputValue(), long);
    assert.match(await page.locator(".turn.assistant .note").innerText(), /got 200/);
    assert.equal(await fits(page), true);
    await page.close();
  });

  test("a picture is attached, seen, and one that is none is refused", async () => {
    const page = await open(desktop);
    const buffer = await sharp({ create: { width: 1024, height: 512, channels: 3, background: "red" } }).png().toBuffer(); // prettier-ignore
    await page
      .locator("#file")
      .setInputFiles({ name: "a.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await page.locator("#toast").getByText("not a picture").waitFor();
    await page.locator("#file").setInputFiles({ name: "a.png", mimeType: "image/png", buffer });
    await page.locator("#attached img").waitFor();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("I see 512x256").waitFor();
    assert.equal(await page.locator("#attached").isVisible(), false);
    await page.close();
  });

  test("every control has a name, and no script failed", async () => {
    const page = await open(phone);
    const nameless = await page.evaluate(`[...document.querySelectorAll("button, textarea, [role=radiogroup]")]
      .filter((n) => !(n.textContent.trim() || n.getAttribute("aria-label"))).map((n) => n.id)`);
    assert.deepEqual(nameless, []);
    assert.deepEqual(problems, []);
    await page.close();
  });
});
