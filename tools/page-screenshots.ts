/**
 * Makes docs/page-desktop.png and docs/page-phone.png: one conversation with the shipped model, seen on two screens.
 * Needs Chromium (CHROMIUM or /usr/bin/chromium). Run: node --import tsx tools/page-screenshots.ts
 */
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { openModel, packageDir } from "../src/cli/common.ts";
import { createApp } from "../src/serve/app.ts";
import { listen } from "../src/serve/listen.ts";

const llm = await openModel({ model: join(packageDir, "assets", "model") });
const server = await listen(createApp({ llm, webDir: join(packageDir, "src", "web") }), { host: "127.0.0.1", port: 0 });
const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
});

async function ask(page: Page, example: number): Promise<void> {
  // The examples stay in the page; the welcome around them is hidden.
  await page.locator("#ideas button").nth(example).dispatchEvent("click");
  await page.locator("body.busy").waitFor();
  await page.locator("body:not(.busy)").waitFor();
  await page.waitForTimeout(1000);
}
const save = (page: Page, name: string) => page.screenshot({ path: join(packageDir, "docs", `page-${name}.png`) });

try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, locale: "en-US", colorScheme: "light" });
  page.setDefaultTimeout(600_000);
  await page.goto(server.url);
  await ask(page, 0);
  await ask(page, 1);
  await page.evaluate("document.getElementById('log').scrollTop = 0");
  await save(page, "desktop");
  await ask(page, 2);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.evaluate("document.getElementById('log').scrollTop = document.getElementById('log').scrollHeight");
  await page.waitForTimeout(1000);
  await save(page, "phone");
} finally {
  await browser.close();
  await server.close();
}
process.exit(0);
