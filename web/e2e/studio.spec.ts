// What a person meets besides the main job, against the double: conflicts, drafts, roles, lost connections, axe in every view.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { clientsOf } from "./clients.ts";
import { tarOf } from "./double/uploads.ts";
import { faults, settled, views } from "./axe.ts";
import { launch, open, signIn, type View } from "./browser.ts";

const server = inject("server");
let browser: Browser;
beforeAll(async () => { browser = await launch(); });
afterAll(() => browser.close());

async function enter(view: View, email = server.email): Promise<{ page: Page; complaints: string[]; close: () => Promise<void> }> {
  const { context, page, complaints } = await open(browser, server.url, { ...view, reducedMotion: true });
  page.setDefaultTimeout(15_000);
  await signIn(page, server.url, email, server.password);
  return { page, complaints, close: () => context.close() };
}

describe.skipIf(server.real)("the Studio", () => {
  test("somebody else's change is shown, and the person decides", async () => {
    const one = await enter({ width: 1440, locale: "en" });
    const two = await enter({ width: 1440, locale: "en" });
    for (const { page } of [one, two]) {
      await page.goto(`${server.url}/code?path=README.md`);
      await page.locator(".monaco-editor .view-line").first().click();
    }
    await one.page.keyboard.insertText("first ");
    await two.page.keyboard.insertText("second ");
    await one.page.keyboard.press("Control+s");
    await one.page.getByText(/Saved, version/).first().waitFor();
    await two.page.keyboard.press("Control+s");
    const dialog = two.page.getByRole("dialog", { name: /README.md changed meanwhile/ });
    await dialog.waitFor();
    await dialog.locator(".view-line").first().waitFor();
    if (process.env["SCREENSHOTS"]) await two.page.screenshot({ path: `${process.env["SCREENSHOTS"]}/conflict.png` });
    await dialog.getByRole("radio", { name: "Your version" }).click();
    await dialog.getByRole("button", { name: "Save your version" }).click();
    await two.page.getByText(/Saved, version/).first().waitFor();
    await one.close();
    await two.close();
  });

  test("the tree says when it is behind, goes on from its token, and draws only what is in view", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    const clients = await clientsOf(server.url, server.email, server.password);
    const { workspaceId } = await clients.files.createWorkspace({ name: "Ten thousand" });
    const store = (path: string) => clients.files.writeFile({ workspaceId, path, content: { case: "text", value: "" } });
    for (let i = 0; i < 10_000; i += 500) await Promise.all(Array.from({ length: 500 }, (_, k) => store(`file${String(i + k).padStart(5, "0")}.txt`)));
    const asked: Record<string, unknown>[] = [];
    let cut = () => Promise.resolve();
    let down = false;
    await page.routeWebSocket(/stream\/rpc/, (socket) => {
      if (down) return void socket.close();
      const upstream = socket.connectToServer();
      socket.onMessage((text) => {
        const frame = JSON.parse(String(text)) as { method: string; params: Record<string, unknown> };
        if (frame.method === "fs.watch") asked.push(frame.params);
        upstream.send(text);
      });
      cut = () => socket.close();
    });
    await page.goto(`${server.url}/code?ws=${workspaceId}`);
    const rows = page.getByRole("treeitem");
    await rows.filter({ hasText: "file00000.txt" }).waitFor();
    expect(await rows.count()).toBeLessThan(200);
    expect(await rows.first().getAttribute("aria-setsize")).toBe("10000");
    await rows.first().focus();
    await page.keyboard.press("End");
    await rows.filter({ hasText: "file09999.txt" }).waitFor();
    expect(await page.evaluate(() => document.activeElement?.getAttribute("data-path"))).toBe("file09999.txt");
    await page.keyboard.type("file04321");
    await page.waitForFunction(() => document.activeElement?.getAttribute("data-path") === "file04321.txt");
    expect(await rows.count()).toBeLessThan(200);
    down = true;
    await cut();
    await page.getByText("Behind. Reconnecting").waitFor();
    await store("aaa.txt");
    down = false;
    await page.getByText("Behind. Reconnecting").waitFor({ state: "detached" });
    await page.getByRole("treeitem").first().focus();
    await page.keyboard.press("Home");
    await rows.filter({ hasText: "aaa.txt" }).waitFor();
    expect(asked[0]?.["resumeToken"]).toBe("");
    expect(Number(asked.at(-1)?.["resumeToken"])).toBeGreaterThanOrEqual(10_000);
    await clients.files.deleteWorkspace({ workspaceId });
    await close();
  });

  test.each(views)("axe finds nothing serious in the workspace's new states ($width, $theme)", async (view) => {
    const { page, close } = await enter(view);
    const clients = await clientsOf(server.url, server.email, server.password);
    const { lockId } = await clients.locks.acquireLock({ path: "src/primes.py", agentId: "coder-1", ttlMs: 600_000 });
    const phone = view.width < 768;
    const found: string[] = [];
    const check = async (name: string) => {
      found.push(...await faults(page, name, ".monaco-editor", ".monaco-diff-editor"));
    };
    await page.goto(`${server.url}/code?path=src/primes.py`);
    await page.getByText(/^(Gesperrt von|Locked by) coder-1$/).first().waitFor();
    await page.keyboard.press("Control+Shift+F");
    await page.getByRole("searchbox").fill("prime");
    await page.getByRole("list", { name: /^(Treffer|Results)$/ }).getByRole("button").first().waitFor();
    await check("search");
    await page.getByRole("tab", { name: /^(Stände|Snapshots)$/ }).click();
    await page.getByRole("button", { name: /^(Stand festhalten|Make snapshot)$/ }).click();
    await page.getByRole("list", { name: /^(Stände|Snapshots)$/ }).getByRole("listitem").first().waitFor();
    await check("snapshots");
    await page.getByRole("tab", { name: /^(Zeitleiste|Timeline)$/ }).click();
    await page.getByRole("list", { name: /primes\.py/ }).waitFor();
    await check("timeline");
    const { version, content } = await clients.files.readFile({ path: "src/primes.py" });
    await clients.locks.releaseLock({ lockId });
    await clients.files.writeFile({ path: "src/primes.py", ifVersion: version, content: { case: "text", value: `# ${view.width} ${view.theme}\n${content.case === "text" ? content.value : ""}` } });
    await page.getByRole("list", { name: /primes\.py/ }).getByRole("button").last().click();
    await page.getByRole("button", { name: /^(Stelle 1 behalten|Keep change 1)$/ }).click();
    await page.getByRole("button", { name: /^(Entscheidung zu Stelle 1|Undo the decision on change 1)/ }).waitFor();
    await check("places");
    await page.keyboard.press("Escape");
    if (phone) await page.getByRole("button", { name: /^(Dateien|Files)$/ }).click();
    await page.getByRole("treeitem", { name: /primes\.py/ }).first().focus();
    await page.keyboard.press("ContextMenu");
    await page.getByRole("menu").waitFor();
    await check("menu of the tree");
    await page.keyboard.press("Escape");
    if (phone) await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^(Arbeitsbereich|Workspace):/ }).click();
    await check("switcher");
    await page.getByRole("menuitem", { name: /^(Archiv einspielen|Import an archive)$/ }).click();
    await check("import");
    await page.getByRole("dialog").getByLabel(/^(Archiv|Archive)$/).setInputFiles({ name: "one.tar", mimeType: "", buffer: tarOf([{ path: `axe/${view.width}${view.theme}.txt`, content: Buffer.from("x") }]) });
    await page.getByText("one.tar").waitFor();
    await check("import with a file");
    await page.getByRole("button", { name: /^(Einspielen|Import)$/ }).click();
    await page.getByRole("button", { name: /^(Rückgängig|Undo)$/ }).waitFor();
    await check("import done");
    await page.getByRole("button", { name: /^(Fertig|Done)$/ }).click();
    if (!phone) {
      await page.locator(".monaco-editor").first().click();
      await page.keyboard.press("Control+\\");
      await page.getByRole("region", { name: /^(Editor rechts|Editor on the right)$/ }).waitFor();
      await check("split");
    }
    expect(found).toEqual([]);
    await close();
  });

  test("what was typed survives a reload without a save", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/code?path=config.json`);
    await page.locator(".monaco-editor .view-line").first().click();
    await page.keyboard.press("Control+Home");
    await page.keyboard.insertText("draft-of-mine ");
    await page.getByText("config.json (not saved)").waitFor({ state: "attached" });
    await page.waitForFunction(() => Object.values(localStorage).some((kept) => String(kept).includes("draft-of-mine")));
    await page.reload();
    await page.getByText("draft-of-mine").waitFor();
    await close();
  });

  test("a file moves, and a wrong path is refused in words", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/code`);
    await page.getByRole("button", { name: "New file" }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Path of the file").fill("src/../../etc/x");
    await dialog.getByRole("button", { name: "Create file" }).click();
    await dialog.getByText(/is outside the workspace/).waitFor();
    await dialog.getByLabel("Path of the file").fill("notes/today.md");
    await dialog.getByRole("button", { name: "Create file" }).click();
    const item = page.getByRole("treeitem", { name: /today.md/ });
    await item.focus();
    await page.keyboard.press("F2");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("tomorrow.md");
    await page.keyboard.press("Enter");
    await page.getByRole("treeitem", { name: /tomorrow.md/ }).waitFor();
    await close();
  });

  test("a dev finds no admin pages", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" }, "dev@devstudio.local");
    expect(await page.getByRole("link", { name: "Admin" }).count()).toBe(0);
    await page.goto(`${server.url}/admin/users`);
    await page.waitForURL(/\/code/);
    await close();
  });

  test("an admin adds, grants and blocks by name", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/admin/users`);
    await page.getByRole("button", { name: "Add user" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("E-mail").fill("new@devstudio.local");
    await dialog.getByLabel("Name").fill("Nora Neu");
    await dialog.getByRole("button", { name: "Generate password" }).click();
    await dialog.getByRole("button", { name: "Add user" }).click();
    await page.getByRole("button", { name: "Block Nora Neu" }).waitFor();
    await page.getByRole("button", { name: "Grant tokens" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Grant tokens" }).click();
    await page.getByText(/granted/i).first().waitFor();
    await page.getByRole("button", { name: "Block Nora Neu" }).click();
    await page.getByRole("dialog", { name: "Block Nora Neu?" }).getByRole("button", { name: "Block Nora Neu" }).click();
    await page.getByRole("button", { name: "Unblock Nora Neu" }).waitFor();
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("CI");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    expect(await page.getByTestId("new-key").textContent()).toMatch(/^dsk_/);
    await close();
  });

  test("an answer stops at Escape and what came stays", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/chat`);
    await page.getByRole("textbox", { name: "Message" }).fill("a function");
    await page.keyboard.press("Enter");
    await page.getByText("Here is").first().waitFor();
    await page.keyboard.press("Escape");
    await page.getByText("Stopped.").waitFor();
    await page.reload();
    await page.getByText("Stopped.").waitFor();
    await close();
  });

  test("a running program stops and keeps its output", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/run`);
    await page.getByRole("textbox", { name: "Code" }).fill('import time\nprint("begun", flush=True)\ntime.sleep(60)');
    await page.getByRole("region", { name: "New run" }).getByRole("button", { name: "Run", exact: true }).click();
    await page.getByRole("log", { name: "Output" }).getByText("begun").waitFor();
    await page.getByRole("region", { name: "New run" }).getByRole("button", { name: "Stop" }).click();
    await page.getByText("cancelled").first().waitFor();
    await page.getByRole("log", { name: "Output" }).getByText("begun").waitFor();
    await close();
  });

  test("logs pause with the space bar and keep their filter in the address", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/logs?level=warn&services=billing`);
    await page.getByRole("log").getByRole("button").first().waitFor();
    expect(await page.getByRole("log").getByText("INFO").count()).toBe(0);
    await page.getByRole("log").focus();
    await page.keyboard.press("Space");
    await page.getByRole("button", { name: /Resume/ }).waitFor();
    await page.getByRole("radio", { name: "ERROR" }).click();
    await page.waitForURL(/level=error/);
    await page.getByText(/Nothing fits this filter/).waitFor();
    await page.getByRole("button", { name: /^Services: billing$/ }).click();
    const service = (name: string) => page.getByRole("menuitemcheckbox", { name });
    const left = async () => (await service("edge").getByText("edge").boundingBox())?.x;
    const before = await left();
    await service("edge").click();
    await service("billing").click();
    await page.waitForURL(/services=edge(&|$)/);
    expect(await service("edge").getAttribute("aria-checked")).toBe("true");
    expect(await left()).toBe(before);
    await close();
  });

  // Not on a real server: the first process of a namespace is deaf to its own signals.
  test("a terminal whose shell was killed says by which signal", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.goto(`${server.url}/terminal`);
    await page.getByRole("button", { name: "Open terminal" }).click();
    await page.locator("[data-terminal] .xterm-rows > div").filter({ hasText: /\S/ }).first().waitFor();
    await page.keyboard.insertText("kill -9 $$");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("Ended by signal 9.").waitFor();
    await close();
  });

  test("theme and language change at once, without a reload", async () => {
    const { page, close } = await enter({ width: 1440, locale: "en" });
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("theme");
    await page.keyboard.press("Enter");
    await page.locator('[data-theme="SerialSteel"]').waitFor();
    await page.getByRole("contentinfo").getByRole("button", { name: "English" }).click();
    await page.getByRole("contentinfo").getByRole("button", { name: "Deutsch" }).waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe("de");
    await close();
  });

  test.each(views)("axe finds nothing serious and nothing overflows ($width, $theme)", async (view) => {
    const { page, complaints, close } = await enter(view);
    const found: string[] = [];
    // Each path with what is there when its data has come.
    const paths = { "/code?path=src/primes.py": ".monaco-editor .view-line", "/chat": "main textarea", "/run": "main button[aria-pressed]", "/logs?level=debug": "[role=log] button", "/admin/models": "main [role=img], main table tbody tr", "/admin/users": "main table tbody tr", "/admin/usage": "main svg[role=img] rect", "/account": "main svg[role=img] rect" };
    for (const [path, content] of Object.entries(paths)) {
      await page.goto(server.url + path);
      await page.locator(content).first().waitFor({ state: "attached" });
      await settled(page);
      found.push(...await faults(page, path, ".monaco-editor"));
      if ((await page.locator("h1").count()) !== 1) found.push(`${path} has not exactly one h1`);
    }
    expect(found).toEqual([]);
    expect(complaints.filter((c) => !/40\d|ERR_/.test(c))).toEqual([]);
    await close();
  });
});
