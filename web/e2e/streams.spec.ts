// All that watches shares one WebSocket a window, so that the six connections a browser has for a host are never used up.
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";

const server = inject("server");
let browser: Browser;
let context: BrowserContext;
const sockets: string[] = [];
/** Requests that have been answered but not to their end: each holds a connection. */
const held = new Set<string>();

beforeAll(async () => { browser = await launch(); });
afterAll(() => browser.close());

async function follow(page: Page): Promise<void> {
  page.setDefaultTimeout(20_000);
  page.on("websocket", (socket) => sockets.push(socket.url()));
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  cdp.on("Network.requestWillBeSent", ({ requestId, type }) => { if (type !== "WebSocket") held.add(requestId); });
  for (const event of ["Network.loadingFinished", "Network.loadingFailed"] as const) cdp.on(event, ({ requestId }) => held.delete(requestId));
}
/** Walks through the tabs that watch something; the run goes on while the others are open. */
async function work(page: Page): Promise<void> {
  const tab = (name: string) => page.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name }).click();
  await tab("Run");
  await page.getByRole("textbox", { name: "Code" }).fill('import time\nprint("begun", flush=True)\ntime.sleep(60)');
  await page.getByRole("region", { name: "New run" }).getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("log", { name: "Output" }).getByText("begun").waitFor();
  await tab("Admin");
  await page.getByRole("heading", { name: "Models", level: 2 }).waitFor();
  await tab("Logs");
  await page.getByRole("log").getByRole("button").first().waitFor();
  await tab("Code");
  await page.getByRole("button", { name: "New file" }).first().waitFor();
}

test("two windows that watch tree, log, models and a run hold one WebSocket each, and a further request is answered within a second", async () => {
  const first = await open(browser, server.url, { width: 1440, locale: "en", reducedMotion: true });
  context = first.context;
  await follow(first.page);
  await signIn(first.page, server.url, server.email, server.password);
  const second = await context.newPage();
  await follow(second);
  await second.goto(server.url);
  await second.getByRole("navigation", { name: "Tabs" }).waitFor();
  for (const page of [first.page, second]) await work(page);
  expect(sockets.filter((url) => url.includes("/stream/rpc")).length).toBe(2);
  expect(sockets.length).toBe(2);
  // What is held open besides: the output of the two runs.
  await expect.poll(() => held.size, { timeout: 15_000 }).toBeLessThanOrEqual(2);
  const took: number[] = [];
  for (let i = 0; i < 5; i += 1) took.push(await first.page.evaluate(async () => {
    const from = performance.now();
    await fetch("/asset-manifest.json", { cache: "no-store" });
    return performance.now() - from;
  }));
  expect(took.toSorted((a, b) => a - b)[2]).toBeLessThan(1_000);
  await context.close();
});
