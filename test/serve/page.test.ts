/** The chat page in a real headless Chromium; skipped by name where there is none. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { createApp } from "../../src/serve/app.ts";
import { listen } from "../../src/serve/listen.ts";
import { fakeLlm } from "./fake-llm.ts";

const paths = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = paths.find((path) => path !== undefined && existsSync(path));

test(
  "the page streams text, shows thinking as steps, a picture and a playing clip",
  {
    skip: executablePath ? false : "no Chromium",
  },
  async () => {
    const server = await listen(createApp({ llm: fakeLlm, webDir: "src/web" }), { host: "127.0.0.1", port: 0 });
    const browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage({ viewport: { width: 390, height: 844 }, locale: "en-US" });
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(error.message));
      await page.goto(server.url);
      await page.getByText("Think", { exact: true }).click();
      await page.locator("#prompt").fill("hi");
      await page.locator("#prompt").press("Enter");
      await page.getByText("Hello world!").waitFor();
      assert.deepEqual(await page.locator("details li").allTextContents(), ["first", "then"]);

      await page.getByText("Picture", { exact: true }).click();
      await page.locator("#prompt").fill("sun");
      await page.locator("#send").click();
      await page.locator("img.media").waitFor();

      await page.getByText("Clip", { exact: true }).click();
      await page.locator("#prompt").fill("ball");
      await page.locator("#send").click();
      await page.locator("video.media").waitFor();

      await page.locator("#language").click();
      assert.equal(await page.locator("#clear").textContent(), "新对话");
      await page.getByText("文字", { exact: true }).click();
      await page.locator("body:not(.busy)").waitFor();
      await page.locator("#prompt").fill("x".repeat(200));
      await page.locator("#prompt").press("Enter");
      await page.getByText(/at most 100 tokens, got 2\d\d/).waitFor();
      const isTooWide = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
      assert.equal(isTooWide, false, "nothing sticks out on a phone");
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
      await server.close();
    }
  },
);
