// The Code tab's editor in two sides, uploads, archives, places taken back, and files that save themselves.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, inject, onTestFailed, test } from "vitest";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";
import { clientsOf } from "./clients.ts";
import { tarOf, zip } from "./double/uploads.ts";

const server = inject("server");
const complaints: string[] = [];
let browser: Browser;
let context: BrowserContext;
let page: Page;
let clients: Awaited<ReturnType<typeof clientsOf>>;
let workspaceId = "";

beforeAll(async () => {
  browser = await launch();
  clients = await clientsOf(server.url, server.email, server.password);
  ({ workspaceId } = await clients.files.createWorkspace({ name: `Code ${Date.now().toString(36)}` }));
  const opened = await open(browser, server.url, { width: 1440, locale: "en", reducedMotion: true });
  ({ context, page } = opened);
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(error.message));
  await signIn(page, server.url, server.email, server.password);
});
beforeEach(({ task }) => { onTestFailed(async () => { await page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-")}.png` }); }); });
afterAll(async () => {
  await clients.files.deleteWorkspace({ workspaceId });
  await browser.close();
});

const item = (wanted: RegExp | string) => page.getByRole("treeitem", { name: wanted });
const text = (value: string) => ({ case: "text" as const, value });
const put = (path: string, value: string) => clients.files.writeFile({ workspaceId, path, content: text(value) });
const stored = async (path: string) => { const { content } = await clients.files.readFile({ workspaceId, path }); return content.case === "text" ? content.value : ""; };
const paths = async () => (await clients.files.listFiles({ workspaceId })).entries.filter((entry) => entry.version > 0n).map((entry) => entry.path).toSorted();
const tabs = (side: Locator) => side.getByRole("group", { name: /^Open files/ }).locator("button[title]");
const line = (where: Page | Locator, words: string) => where.locator(".view-line", { hasText: words }).first();
const visit = async (path = "") => { await page.goto(`${server.url}/code?ws=${workspaceId}${path && `&path=${path}`}`); };
async function inMenu(of: string, entry: string): Promise<void> {
  await item(of).click({ button: "right" });
  await page.getByRole("menuitem", { name: entry, exact: true }).click();
}
/** Lets the page send and take only so many bytes a second. */
async function slow(bytesPerSecond: number): Promise<() => Promise<void>> {
  const cdp = await context.newCDPSession(page);
  const limit = (throughput: number) => cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: throughput, uploadThroughput: throughput });
  await cdp.send("Network.enable");
  await limit(bytesPerSecond);
  return () => limit(-1).then(() => cdp.detach());
}
const noise = (size: number) => Buffer.from(Array.from({ length: Math.ceil(size / 32) }, (_, i) => createHash("sha256").update(String(i)).digest()).flatMap((part) => [...part])).subarray(0, size);

test("the editor splits, each side has its tabs, and a reload brings both back where one was", async () => {
  await put("a.txt", Array.from({ length: 200 }, (_, i) => `line ${i + 1} of a\n`).join(""));
  await put("b.txt", "all of b\n");
  await put("c.txt", "all of c\n");
  await visit("a.txt");
  await line(page, "line 1 of a").waitFor();
  await page.locator(".monaco-editor").first().click();
  await page.keyboard.press("Control+End");
  await line(page, "line 200 of a").waitFor();
  await item("b.txt").click();
  await line(page, "all of b").waitFor();
  await page.keyboard.press("Control+\\");
  const left = page.getByRole("region", { name: "Editor on the left" });
  const right = page.getByRole("region", { name: "Editor on the right" });
  await item("c.txt").dblclick();
  await line(right, "all of c").waitFor();
  expect([await tabs(left).allTextContents(), await tabs(right).allTextContents()]).toEqual([["a.txt", "b.txt"], ["b.txt", "c.txt"]]);
  await tabs(left).filter({ hasText: "a.txt" }).click();
  await line(left, "line 200 of a").waitFor();
  await page.getByRole("contentinfo").getByText("Ln 201, Col 1").waitFor();
  const separator = page.getByRole("separator", { name: "Resize" }).nth(1);
  await separator.focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("ArrowLeft");
  const width = (await left.boundingBox())?.width ?? 0;
  await page.reload();
  await line(left, "line 200 of a").waitFor();
  await line(right, "all of c").waitFor();
  await page.getByRole("contentinfo").getByText("Ln 201, Col 1").waitFor();
  expect([await tabs(left).allTextContents(), await tabs(right).allTextContents()]).toEqual([["a.txt", "b.txt"], ["b.txt", "c.txt"]]);
  await expect.poll(async () => Math.abs(((await left.boundingBox())?.width ?? 0) - width)).toBeLessThan(3);
});

test("what is typed on one side stands on the other, and closing one keeps what is not saved", async () => {
  const left = page.getByRole("region", { name: "Editor on the left" });
  const right = page.getByRole("region", { name: "Editor on the right" });
  await tabs(left).filter({ hasText: "b.txt" }).click();
  await tabs(right).filter({ hasText: "b.txt" }).click();
  await line(right, "all of b").click();
  await page.keyboard.press("Home");
  await page.keyboard.insertText("typed once ");
  await line(left, "typed once all of b").waitFor();
  await page.keyboard.press("Alt+w");
  await tabs(right).filter({ hasText: "b.txt" }).waitFor({ state: "detached" });
  await line(left, "typed once all of b").waitFor();
  await tabs(left).filter({ hasText: "b.txt" }).click();
  await page.keyboard.press("Control+s");
  await expect.poll(() => stored("b.txt")).toBe("typed once all of b\n");
});

test("a tab is dragged to the other side, others are closed, and a side without files goes", async () => {
  const left = page.getByRole("region", { name: "Editor on the left" });
  const right = page.getByRole("region", { name: "Editor on the right" });
  const from = await tabs(left).filter({ hasText: "b.txt" }).boundingBox();
  const to = await right.boundingBox();
  if (!from || !to) throw new Error("nothing to drag");
  await page.mouse.move(from.x + 10, from.y + 10);
  await page.mouse.down();
  await page.mouse.move(from.x + 40, from.y + 60, { steps: 4 });
  await right.getByTestId("tab-drop").waitFor();
  await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 6 });
  await page.mouse.up();
  await expect.poll(() => tabs(right).allTextContents()).toEqual(["c.txt", "b.txt"]);
  expect(await tabs(left).allTextContents()).toEqual(["a.txt"]);
  await tabs(right).filter({ hasText: "b.txt" }).click({ button: "right" });
  await page.getByRole("menuitem", { name: "Close others" }).click();
  await expect.poll(() => tabs(right).allTextContents()).toEqual(["b.txt"]);
  await page.keyboard.press("Control+Alt+ArrowLeft");
  await page.keyboard.press("Alt+w");
  await page.getByRole("region", { name: "Editor", exact: true }).waitFor();
  expect(await tabs(page.getByRole("region", { name: "Editor", exact: true })).allTextContents()).toEqual(["b.txt"]);
});

test("a preview is in italics and gives way, and what is typed keeps it", async () => {
  const editor = page.getByRole("region", { name: "Editor", exact: true });
  await item("a.txt").click();
  await item("c.txt").click();
  await line(page, "all of c").waitFor();
  expect(await tabs(editor).allTextContents()).toEqual(["b.txt", "c.txt"]);
  expect(await tabs(editor).filter({ hasText: "c.txt" }).evaluate((tab) => getComputedStyle(tab).fontStyle)).toBe("italic");
  await line(page, "all of c").click();
  await page.keyboard.insertText("x");
  await expect.poll(() => tabs(editor).filter({ hasText: "c.txt" }).evaluate((tab) => getComputedStyle(tab).fontStyle)).toBe("normal");
  await page.keyboard.press("Control+z");
  await page.getByText("c.txt (not saved)").waitFor({ state: "detached" });
});

test("fifty keys in a moment are saved by at most two calls, and Ctrl S saves at once", async () => {
  await put("typed.txt", "");
  await visit("typed.txt");
  await page.locator(".monaco-editor .view-line").first().click();
  const calls: string[] = [];
  page.on("request", (request) => { if (/WorkspaceService\/(WriteFile|EditFile)$/.test(request.url())) calls.push(request.url()); });
  /** Presses keys all in one go, so that they come within the 300 ms however busy the machine is. */
  const type = async (count: number) => {
    const cdp = await context.newCDPSession(page);
    await Promise.all(Array.from({ length: count }, () => cdp.send("Input.dispatchKeyEvent", { type: "char", text: "k" })));
    await cdp.detach();
  };
  await type(50);
  await line(page, "k".repeat(50)).waitFor();
  expect(calls).toEqual([]);
  await page.keyboard.press("Control+s");
  await expect.poll(() => stored("typed.txt")).toBe("k".repeat(50));
  expect(calls.length).toBe(1);
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").getByRole("combobox").fill("automatic saving");
  await page.keyboard.press("Enter");
  await page.locator(".monaco-editor .view-line").first().click();
  await page.keyboard.press("Control+End");
  calls.length = 0;
  await type(50);
  await expect.poll(() => stored("typed.txt")).toBe("k".repeat(100));
  expect(calls.length).toBeLessThanOrEqual(2);
  // Taken inside the page, where no busy machine comes in between: the call goes out with the key, not after a wait.
  await page.evaluate(() => {
    const times = { key: 0, call: 0 };
    Object.assign(globalThis, { times });
    addEventListener("keydown", (event) => { if (event.key === "s") times.key = event.timeStamp; }, { capture: true });
    const { fetch } = globalThis;
    globalThis.fetch = (...args) => {
      if (/WriteFile|EditFile/.test(String(args[0]))) times.call ||= performance.now();
      return fetch(...args);
    };
  });
  const cdp = await context.newCDPSession(page);
  await Promise.all([
    cdp.send("Input.dispatchKeyEvent", { type: "char", text: "!" }),
    cdp.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "s", code: "KeyS", windowsVirtualKeyCode: 83, modifiers: 2 }),
  ]);
  await cdp.detach();
  await expect.poll(() => stored("typed.txt")).toBe(`${"k".repeat(100)}!`);
  const { key, call } = await page.evaluate(() => (globalThis as unknown as { times: { key: number; call: number } }).times);
  expect(call - key).toBeGreaterThanOrEqual(0);
  expect(call - key).toBeLessThan(200);
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").getByRole("combobox").fill("automatic saving");
  await page.keyboard.press("Enter");
});

test("an archive that is dropped on a folder is imported: refused where files are there, then kept, and undone", async () => {
  await put("lib/one.txt", "mine\n");
  await item("lib").waitFor();
  const archive = zip([{ path: "top/one.txt", content: Buffer.from("theirs\n") }, { path: "top/deep/two.txt", content: Buffer.from("two\n") }]);
  const data = await page.evaluateHandle((content) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(content)], "pack.zip"));
    return transfer;
  }, [...archive]);
  for (const type of ["dragenter", "dragover"]) await item("lib").dispatchEvent(type, { dataTransfer: data });
  await page.getByText("Drop into “lib”").waitFor();
  await item("lib").dispatchEvent("drop", { dataTransfer: data });
  const dialog = page.getByRole("dialog", { name: "Import an archive into “lib”" });
  await dialog.getByText("pack.zip").waitFor();
  await dialog.getByLabel("Leave out the one folder that holds everything").check();
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.getByText("Files of the archive exist here already.").waitFor();
  expect(await stored("lib/one.txt")).toBe("mine\n");
  await dialog.getByRole("radio", { name: "Keep" }).click();
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.getByText("1 file imported").waitFor();
  await dialog.getByText("1 was there already and stayed.").waitFor();
  expect([await stored("lib/one.txt"), await stored("lib/deep/two.txt")]).toEqual(["mine\n", "two\n"]);
  await dialog.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Undone. All is as it was before the import.").waitFor();
  expect((await paths()).filter((path) => path.startsWith("lib/"))).toEqual(["lib/one.txt"]);
});

test("a large upload shows how far it is, and a cancelled one changes nothing", async () => {
  const archive = tarOf(Array.from({ length: 8 }, (_, i) => ({ path: `big/part${i}.bin`, content: noise(400_000) })));
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").getByRole("combobox").fill("import an archive");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Import an archive", exact: true });
  await dialog.getByLabel("Archive").setInputFiles({ name: "big.tar", mimeType: "application/x-tar", buffer: archive });
  const end = await slow(400_000);
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  const bar = dialog.getByRole("progressbar", { name: "Uploading" });
  await expect.poll(async () => Number(await bar.getAttribute("aria-valuenow")), { timeout: 15_000 }).toBeGreaterThan(10);
  expect(Number(await bar.getAttribute("aria-valuenow"))).toBeLessThan(100);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await bar.waitFor({ state: "detached" });
  await end();
  expect((await paths()).some((path) => path.startsWith("big/"))).toBe(false);
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.getByText("8 files imported").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  expect((await paths()).filter((path) => path.startsWith("big/")).length).toBe(8);
});

test("what is no archive is refused in words", async () => {
  await inMenu("lib", "Import an archive");
  const dialog = page.getByRole("dialog", { name: "Import an archive into “lib”" });
  await dialog.getByLabel("Archive").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no") });
  await dialog.getByText("notes.txt is not a zip, tar or tar.gz.").waitFor();
  await dialog.getByLabel("Archive").setInputFiles({ name: "broken.zip", mimeType: "application/zip", buffer: Buffer.from("PK no zip at all") });
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await dialog.getByText("The archive is damaged or of no known form.").waitFor();
  await page.keyboard.press("Escape");
});

test("a folder, the workspace and a snapshot are downloaded, and what comes is what is there", async () => {
  const first = page.waitForEvent("download");
  await inMenu("big", "Download as zip");
  const zipped = await first;
  expect(zipped.suggestedFilename()).toMatch(/^big.*\.zip$/);
  const bytes = readFileSync(await zipped.path());
  expect(bytes.subarray(0, 2).toString()).toBe("PK");
  expect(bytes.length).toBeGreaterThan(8 * 300_000);
  await clients.snapshots.createSnapshot({ workspaceId, reason: "to be downloaded" });
  await page.keyboard.press("Control+j");
  await page.getByRole("tab", { name: "Snapshots" }).click();
  const second = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download “to be downloaded”" }).click();
  await page.getByRole("menuitem", { name: "Download as tar.gz" }).click();
  const packed = readFileSync(await (await second).path());
  expect([...packed.subarray(0, 2)]).toEqual([0x1f, 0x8b]);
  const third = page.waitForEvent("download");
  await page.getByRole("button", { name: /^Workspace:/ }).click();
  await page.getByRole("menuitem", { name: "Download as tar.gz" }).click();
  const whole = await third;
  expect(whole.suggestedFilename()).toMatch(/\.tar\.gz$/);
  await clients.files.deletePath({ workspaceId, path: "lib" });
  await item("lib").waitFor({ state: "detached" });
  await page.getByRole("button", { name: /^Workspace:/ }).click();
  await page.getByRole("menuitem", { name: "Import an archive" }).click();
  await page.getByRole("dialog").getByLabel("Archive").setInputFiles(await whole.path().then((path) => ({ name: "back.tar.gz", mimeType: "application/gzip", buffer: readFileSync(path) })));
  await page.getByRole("dialog").getByRole("radio", { name: "Keep" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Import", exact: true }).click();
  await page.getByRole("dialog").getByText("1 file imported").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Done" }).click();
  expect(await stored("lib/one.txt")).toBe("mine\n");
});

test("a download can be cancelled", async () => {
  const end = await slow(300_000);
  await inMenu("big", "Download as zip");
  const dialog = page.getByRole("dialog", { name: "Download “big”" });
  await dialog.getByText(/ of 8 files/).waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  await end();
  await clients.files.deletePath({ workspaceId, path: "big" });
});

test("a folder is uploaded with what is in it, and what is refused is named by file", async () => {
  const folder = join(mkdtempSync(join(tmpdir(), "upload-")), "site");
  mkdirSync(join(folder, "css"), { recursive: true });
  writeFileSync(join(folder, "index.html"), "<p>hi</p>\n");
  writeFileSync(join(folder, "css", "main.css"), "p {}\n");
  writeFileSync(join(folder, "large.bin"), noise(524_289));
  await page.getByLabel("Upload a folder").last().setInputFiles(folder);
  const dialog = page.getByRole("dialog", { name: "Upload to the top level" });
  await dialog.getByText("1 file was not uploaded.").waitFor();
  await dialog.getByRole("listitem").filter({ hasText: "site/large.bin" }).getByText("The file has 512 KiB, the limit is 512 KiB.", { exact: false }).waitFor();
  await dialog.getByText("2 of 3 files").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  expect((await paths()).filter((path) => path.startsWith("site/"))).toEqual(["site/css/main.css", "site/index.html"]);
  await page.getByLabel("Upload a folder").last().setInputFiles(folder);
  await dialog.getByText("2 files exist already.").waitFor();
  await dialog.getByRole("button", { name: "Replace all" }).click();
  await dialog.getByText("2 of 3 files").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
});

test("a row is dragged into a folder, which is marked, and by keys it is cut and put elsewhere", async () => {
  await item("site").waitFor();
  await item("big").waitFor({ state: "detached" });
  await item(/^b\.txt/).hover();
  await page.mouse.down();
  await item("lib").hover();
  await item("lib").hover({ position: { x: 90, y: 10 } });
  await page.getByText("Drop into “lib”").waitFor();
  await page.mouse.up();
  await item(/^b\.txt/).and(page.locator('[aria-level="2"]')).waitFor();
  expect((await paths()).includes("lib/b.txt")).toBe(true);
  await item(/^b\.txt/).focus();
  await page.keyboard.press("Control+x");
  await page.getByText("b.txt is marked to be moved.", { exact: false }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("b.txt is marked to be moved.", { exact: false }).waitFor({ state: "detached" });
  await page.keyboard.press("Control+x");
  await item("c.txt").focus();
  await page.keyboard.press("Control+v");
  await item(/^b\.txt/).and(page.locator('[aria-level="1"]')).waitFor();
  await item(/^b\.txt/).focus();
  await page.keyboard.press("Control+c");
  await page.keyboard.press("Control+v");
  await item(/^b copy\.txt/).waitFor();
  expect((await paths()).filter((path) => /b( copy)?\.txt/.test(path))).toEqual(["b copy.txt", "b.txt"]);
});

test("a drop that is refused says why, and nothing is lost", async () => {
  await put("site/lib/one.txt", "theirs\n");
  const stay = await paths();
  const note = (text: string | RegExp) => page.getByRole("region", { name: /^Notes/ }).getByText(text);
  const drag = async (from: Locator, to: Locator) => {
    await from.hover();
    await page.mouse.down();
    await to.hover();
    await to.hover({ position: { x: 90, y: 10 } });
    await page.mouse.up();
  };
  const site = item("site");
  const css = item("css").and(page.locator('[aria-level="2"]'));
  await item("site").click();
  await css.waitFor();
  await drag(site, css);
  await note("site cannot be put into itself.").waitFor();
  await site.focus();
  await page.keyboard.press("Control+c");
  await page.keyboard.press("Control+v");
  await expect.poll(() => note("site cannot be put into itself.").count()).toBe(2);
  await page.keyboard.press("Escape");
  await drag(item("lib").and(page.locator('[aria-level="1"]')), css);
  await item("lib").and(page.locator('[aria-level="3"]')).waitFor();
  await drag(item("lib").and(page.locator('[aria-level="3"]')), site);
  await note("This exists already.").waitFor();
  await clients.files.movePath({ workspaceId, from: "site/css/lib", to: "lib" });
  await item("lib").and(page.locator('[aria-level="1"]')).waitFor();
  const { lockId } = await clients.locks.acquireLock({ workspaceId, path: "c.txt", agentId: "coder-1", ttlMs: 600_000 });
  await item(/^c\.txt/).focus();
  await page.keyboard.press("Control+x");
  await css.focus();
  await page.keyboard.press("Control+v");
  await note("c.txt is locked by coder-1.").waitFor();
  await page.getByText("c.txt is marked to be moved.", { exact: false }).waitFor();
  await page.keyboard.press("Escape");
  await clients.locks.releaseLock({ lockId });
  expect(await paths()).toEqual(stay);
});

const before = Array.from({ length: 60 }, (_, i) => `line ${i + 1}\n`).join("");
const after = before.replace("line 5\n", "line five\n").replace("line 20\n", "").replace("line 40\n", "line 40\nline 40 and a half\n");

test("places are taken back one by one and written at once, and a taken back one can be undone", async () => {
  await put("hunks.txt", before);
  await clients.snapshots.createSnapshot({ workspaceId, reason: "before the edit" });
  await put("hunks.txt", after);
  await visit("hunks.txt");
  await line(page, "line five").waitFor();
  await page.getByRole("tab", { name: "Timeline" }).click();
  await page.getByRole("listitem").filter({ hasText: "before the edit" }).getByRole("button", { name: "Compare with now" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("3 changes open").waitFor();
  await dialog.getByRole("button", { name: "Take back change 1" }).click();
  await dialog.getByText("2 changes open").waitFor();
  await expect.poll(() => stored("hunks.txt")).toBe(after.replace("line five\n", "line 5\n"));
  // The keyboard goes on at the next place.
  await dialog.getByRole("group", { name: "Change 2 of 3" }).waitFor();
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest("[data-hunk]")?.getAttribute("data-hunk"))).toBe("1");
  await page.keyboard.press("Enter");
  await dialog.getByText("1 change open").waitFor();
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest("[data-hunk]")?.getAttribute("data-hunk"))).toBe("2");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await dialog.getByText("All changes are decided").waitFor();
  await expect.poll(() => stored("hunks.txt")).toBe(before.replace("line 20\n", ""));
  await dialog.getByRole("button", { name: "Previous change" }).click();
  await dialog.getByRole("button", { name: "Previous change" }).click();
  await dialog.getByRole("button", { name: "Undo the decision on change 1" }).click();
  await expect.poll(() => stored("hunks.txt")).toBe(after.replace("line 40 and a half\n", ""));
  await dialog.getByRole("button", { name: "Take all back" }).click();
  await expect.poll(() => stored("hunks.txt")).toBe(before);
  await expect.poll(() => dialog.getByRole("button", { name: "Keep all" }).isDisabled()).toBe(true);
  await page.keyboard.press("Escape");
  await line(page, "line 5").waitFor();
});

test("a place that is taken back over another's change leads to the conflict view", async () => {
  await put("hunks.txt", after);
  await page.getByRole("listitem").filter({ hasText: "before the edit" }).getByRole("button", { name: "Compare with now" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("3 changes open").waitFor();
  await put("hunks.txt", after.replace("line 60\n", "line sixty\n"));
  await dialog.getByRole("button", { name: "Take back change 1" }).click();
  const conflict = page.getByRole("dialog", { name: /hunks\.txt changed meanwhile/ });
  await conflict.getByText("Both changes fit together.", { exact: false }).waitFor();
  await conflict.getByRole("button", { name: "Save merged version" }).click();
  await expect.poll(() => stored("hunks.txt")).toBe(after.replace("line five\n", "line 5\n").replace("line 60\n", "line sixty\n"));
});

test("no page complained", () => {
  expect(complaints.filter((words) => !/40\d|ERR_/.test(words))).toEqual([]);
});
