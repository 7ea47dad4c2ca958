// Measures the Studio in a real Chromium: what opens how fast, what scrolls how smoothly, how much script comes first.
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { open, signIn } from "./browser.ts";
import { tarOf } from "./double/uploads.ts";
import { clientsOf } from "./clients.ts";
import { tasksOf } from "./trace.ts";

/** A figure: medians of the rounds, and what it must and should be at most. */
export interface Figure { name: string; unit: "ms" | "rows" | "KB"; value: number; must: number; aim?: number; rounds: number[] }
/** What is measured, and as whom. */
export interface Target { url: string; email: string; password: string }

const ROUNDS = Number(process.env["FIGURES_ROUNDS"] ?? 5);
const ENTRIES = 10_000;
const FOLDERS = 100;
const LINES = 500_000;
const BATCH = 5_000;
const FILE_BYTES = 524_288;

export const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const figure = (name: string, unit: Figure["unit"], rounds: number[], must: number, aim?: number): Figure => ({ name, unit, value: median(rounds), must, ...(aim === undefined ? {} : { aim }), rounds });

const groups = { tree, file, log, first };
export type Group = keyof typeof groups;
export const allGroups = Object.keys(groups) as Group[];

/** The figures of some groups, one group after the other. */
export async function measure(browser: Browser, target: Target, wanted: Group[] = allGroups): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const group of wanted) figures.push(...(await groups[group](browser, target)));
  return figures;
}

async function enter(browser: Browser, { url, email, password }: Target): Promise<{ context: BrowserContext; page: Page }> {
  const opened = await open(browser, url, { width: 1440, locale: "en", reducedMotion: true });
  opened.page.setDefaultTimeout(60_000);
  // What names functions in code that is compiled on the fly is not there in the page.
  await opened.context.addInitScript("globalThis.__name = (named) => named");
  await signIn(opened.page, url, email, password);
  return opened;
}
/** Waits inside the page for a condition, frame by frame, and gives the time since a click on an element began. */
const clickUntil = (page: Page, click: string, shown: string): Promise<number> =>
  page.evaluate(([clicked = "", wanted = ""]) => new Promise<number>((resolve) => {
    const from = performance.now();
    document.querySelector<HTMLElement>(clicked)?.click();
    const look = () => (document.querySelector(wanted) ? requestAnimationFrame(() => resolve(performance.now() - from)) : requestAnimationFrame(look));
    look();
  }), [click, shown]);

/**
 * Scrolls an element down in leaps and up in steps of a wheel, so that both all rows and neighbouring ones are drawn. Gives
 * the most rows that were in the page, and the longest task of the page's thread: by the time that it had the processor,
 * which is what it takes on a quiet machine, however busy this one is with others' work.
 */
async function scroll(page: Page, scroller: string, row: string): Promise<{ longestMs: number; rows: number }> {
  const browser = page.context().browser();
  if (!browser) throw new Error("no browser");
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline", "devtools.timeline", "toplevel", "__metadata"] });
  const rows = await page.evaluate(async ([box = "", each = ""]) => {
    const element = document.querySelector<HTMLElement>(box);
    if (!element) throw new Error(`no ${box}`);
    const frame = () => new Promise<void>((resolve) => requestAnimationFrame(() => resolve()));
    const steps = 100;
    const height = element.scrollHeight;
    let most = 0;
    for (let i = 0; i <= steps * 2; i += 1) {
      if (i <= steps) element.scrollTop = (height * i) / steps;
      else element.scrollBy(0, -240);
      await frame();
      most = Math.max(most, element.querySelectorAll(each).length);
    }
    return most;
  }, [scroller, row]);
  const { longestMs, tasks } = tasksOf(await browser.stopTracing());
  if (tasks < 100) throw new Error("the trace has no tasks");
  return { longestMs, rows };
}

/** Waits until the tree has so many rows: it is as high as all of them, though few are drawn. */
const rowsThere = (page: Page, count: number): Promise<unknown> =>
  page.waitForFunction((wanted) => {
    const tree = document.querySelector("[role=tree]");
    const row = tree?.querySelector<HTMLElement>("[role=treeitem]");
    return tree && row && tree.clientHeight >= wanted * row.offsetHeight;
  }, count);

/** The tree of ten thousand entries. */
async function tree(browser: Browser, target: Target): Promise<Figure[]> {
  const clients = await clientsOf(target.url, target.email, target.password);
  const { workspaceId } = await clients.files.createWorkspace({ name: `Figures ${Date.now().toString(36)}` });
  // Its quota is ten thousand files; what is measured is entries, folders among them.
  const paths = Array.from({ length: ENTRIES - FOLDERS }, (_, i) => `folder${String(i % FOLDERS).padStart(2, "0")}/file${String(i).padStart(5, "0")}.txt`);
  const archive = tarOf(paths.map((path) => ({ path, content: Buffer.alloc(0) })));
  const uploaded = await fetch(`${target.url}/upload`, { method: "PUT", headers: { authorization: `Bearer ${clients.accessToken}` }, body: new Uint8Array(archive) });
  const { sha256 } = (await uploaded.json()) as { sha256: string };
  await clients.archives.importArchive({ workspaceId, uploadSha256: sha256 });
  const opening: number[] = [];
  const longest: number[] = [];
  const rows: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { context, page } = await enter(browser, target);
    await page.goto(`${target.url}/code?ws=${workspaceId}`);
    await page.locator("[role=treeitem]").first().waitFor();
    // All folders are open, so that all rows are there to be drawn; first all of them must have come.
    await rowsThere(page, FOLDERS);
    await page.locator("[role=treeitem]").first().focus();
    await page.keyboard.press("*");
    await page.locator("[role=treeitem][aria-level='2']").first().waitFor();
    // The tab is opened anew by a click, as a person does; the watch tells all entries again after the reload.
    await page.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Logs" }).click();
    await page.reload();
    await page.locator("[role=log] button").first().waitFor();
    opening.push(await clickUntil(page, "nav a[href*='/code']", "[role=treeitem][aria-level='2']"));
    // It is open when the first rows are there; the watch tells the others in further messages, and all are scrolled.
    await rowsThere(page, ENTRIES);
    await page.evaluate(() => document.querySelector("[role=tree]")?.parentElement?.setAttribute("data-figures", "tree"));
    const { longestMs, rows: most } = await scroll(page, "[data-figures=tree]", "[role=treeitem]");
    longest.push(longestMs);
    rows.push(most);
    await context.close();
  }
  await clients.files.deleteWorkspace({ workspaceId });
  return [figure(`tree of ${ENTRIES.toLocaleString("en")} entries opens`, "ms", opening, 1_000, 300), figure("tree: longest task while scrolling", "ms", longest, 50), figure("tree: most rows in the page", "rows", rows, 200)];
}

/** A file of 512 KiB, the largest there may be. */
async function file(browser: Browser, target: Target): Promise<Figure[]> {
  const clients = await clientsOf(target.url, target.email, target.password);
  const { workspaceId } = await clients.files.createWorkspace({ name: `Figures ${Date.now().toString(36)}` });
  const line = (i: number) => `export const value${String(i).padStart(5, "0")} = compute(${i}, "text of line ${i}"); // ${"x".repeat(i % 40)}\n`;
  let text = "";
  for (let i = 0; text.length + 120 < FILE_BYTES; i += 1) text += line(i);
  await clients.files.writeFile({ workspaceId, path: "large.ts", content: { case: "text", value: text.padEnd(FILE_BYTES - 1, " ").concat("\n") } });
  await clients.files.writeFile({ workspaceId, path: "small.txt", content: { case: "text", value: "small\n" } });
  const opening: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { context, page } = await enter(browser, target);
    await page.goto(`${target.url}/code?ws=${workspaceId}&path=small.txt`);
    await page.locator(".monaco-editor .view-line", { hasText: "small" }).first().waitFor();
    opening.push(await page.evaluate(() => new Promise<number>((resolve) => {
      const from = performance.now();
      document.querySelector<HTMLElement>("[data-path='large.ts']")?.click();
      const look = () => ([...document.querySelectorAll(".monaco-editor .view-line")].some((row) => row.textContent?.includes("value00000")) ? requestAnimationFrame(() => resolve(performance.now() - from)) : requestAnimationFrame(look));
      look();
    })));
    await context.close();
  }
  await clients.files.deleteWorkspace({ workspaceId });
  return [figure("file of 512 KiB opens in Monaco", "ms", opening, 1_000, 300)];
}

/** Put into the page: answers the watch of the log with lines in the server's form, since nothing outside can put them there. */
const linesInPage = (held: number) => {
  const levels = ["info", "info", "info", "warn", "error"];
  const services = ["edge", "auth", "billing", "sandbox", "llm"];
  const line = (n: number) => ({ seq: String(n), at: new Date(1_700_000_000_000 + n * 10).toISOString(), level: levels[n % 5], service: services[n % 5], traceId: n.toString(16).padStart(32, "0"), userId: "", message: `run ${n} ended: SUCCEEDED after 12 ms`, fields: { wall_ms: "12", exec_id: "1" } });
  let socket: WebSocket | undefined;
  let watchId = 0;
  const tellLines = (from: number, count: number) => {
    const message = { entries: Array.from({ length: count }, (_, i) => line(from + i)), dropped: 0 };
    socket?.dispatchEvent(new MessageEvent("message", { data: JSON.stringify({ jsonrpc: "2.0", method: "stream.next", params: { id: watchId, seq: from, message } }) }));
  };
  const Native = globalThis.WebSocket;
  globalThis.WebSocket = class extends Native {
    override send(text: string): void {
      const frame = JSON.parse(text) as { id: number; method: string; params?: { backlog?: number } };
      if (frame.method !== "logs.watch") return super.send(text);
      // oxlint-disable-next-line typescript/no-this-alias -- the socket of the page is to be told lines later
      socket = this;
      watchId = frame.id;
      const backlog = frame.params?.backlog ?? 0;
      setTimeout(() => tellLines(held - backlog + 1, backlog), 0);
    }
  };
  Object.assign(globalThis, { tellLines });
};
type WithLines = typeof globalThis & { tellLines: (from: number, count: number) => void };

/** The log: opened with a long log behind it, filled to half a million lines, scrolled while more come. */
async function log(browser: Browser, target: Target): Promise<Figure[]> {
  const opening: number[] = [];
  const longest: number[] = [];
  const rows: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { context, page } = await enter(browser, target);
    await context.addInitScript(linesInPage, LINES);
    await page.goto(`${target.url}/account`);
    await page.locator("main h2").first().waitFor();
    await page.getByRole("contentinfo").getByText("Connected").waitFor();
    opening.push(await clickUntil(page, "nav a[href*='/logs']", "[role=log] button"));
    // The buffer is filled as a long watch fills it: what came is taken in before more comes.
    await page.evaluate(async ([lines = 0, batch = 0]) => {
      const { tellLines } = globalThis as WithLines;
      for (let held = 2_000; held < lines; held += batch) {
        tellLines(lines - 2_000 + held + 1, Math.min(batch, lines - held));
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }, [LINES, BATCH]);
    await page.waitForFunction((height) => (document.querySelector("[role=log]")?.scrollHeight ?? 0) >= height, LINES * 30);
    await page.evaluate((from) => {
      const { tellLines } = globalThis as WithLines;
      let next = from;
      setInterval(() => { tellLines(next, 20); next += 20; }, 100);
    }, LINES * 2);
    const scrolled = await scroll(page, "[role=log]", "button");
    longest.push(scrolled.longestMs);
    rows.push(scrolled.rows);
    await context.close();
  }
  return [figure(`log of ${LINES.toLocaleString("en")} lines opens`, "ms", opening, 1_000, 300), figure("log: longest task while scrolling, lines coming in", "ms", longest, 50), figure("log: most rows in the page", "rows", rows, 200)];
}

/** What comes before anything is seen: script up to a page without Monaco, and when the largest part is painted. */
async function first(browser: Browser, target: Target): Promise<Figure[]> {
  const sizes: number[] = [];
  const paints: number[] = [];
  const signedIn: number[] = [];
  const paintOf = (page: Page) => page.evaluate(() => new Promise<number>((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().at(-1)?.startTime ?? 0)).observe({ type: "largest-contentful-paint", buffered: true });
  }));
  const clients = await clientsOf(target.url, target.email, target.password);
  const { workspaceId } = await clients.files.createWorkspace({ name: `Figures ${Date.now().toString(36)}` });
  for (let round = 0; round < ROUNDS; round += 1) {
    const fresh = await open(browser, target.url, { width: 1440, locale: "en", reducedMotion: true });
    await fresh.page.goto(target.url);
    await fresh.page.locator("#password").waitFor();
    paints.push(await paintOf(fresh.page));
    await fresh.context.close();
    const { context, page } = await enter(browser, target);
    const scripts = new Set<string>();
    page.on("request", (request) => { if (request.resourceType() === "script") scripts.add(request.url()); });
    await page.goto(`${target.url}/code?ws=${workspaceId}`);
    await page.getByRole("heading", { name: "This workspace is empty" }).waitFor();
    await page.waitForLoadState("networkidle");
    let size = 0;
    for (const script of scripts) size += gzipSync(Buffer.from(await (await fetch(script)).arrayBuffer())).length / 1000;
    sizes.push(size);
    signedIn.push(await paintOf(page));
    await context.close();
  }
  await clients.files.deleteWorkspace({ workspaceId });
  return [figure("script before Monaco, gzip", "KB", sizes, 350, 200), figure("largest paint of the sign-in page", "ms", paints, 1_500, 800), figure("largest paint of the Code tab, signed in", "ms", signedIn, 1_500, 800)];
}
