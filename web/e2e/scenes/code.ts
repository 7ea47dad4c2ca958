// Pictures of the Code tab: files, locks, conflicts, history, archives, several workspaces.
import type { Page } from "playwright-core";
import { LockScope } from "../../src/gen/devstudio/sandbox/v1/lock_pb.ts";
import { clientsOf } from "../clients.ts";
import { tarOf } from "../double/uploads.ts";
import type { Stage } from "../stage.ts";
import { button, settled, textOf, type Scene } from "./steps.ts";

/** Opens a file that has a history, and shows a part of it below the editor. */
async function withHistory(page: Page, { url, person }: Stage, tab: RegExp): Promise<void> {
  const { files, snapshots } = await clientsOf(url, person.email, person.password);
  if ((await snapshots.listSnapshots({})).snapshots.every(({ reason }) => reason !== "before the refactoring")) {
    const change = async (path: string, work: (text: string) => string) => {
      const { text = "", version } = textOf(await files.readFile({ path }));
      await files.writeFile({ path, content: { case: "text", value: work(text) }, ifVersion: version });
    };
    await snapshots.createSnapshot({ reason: "first version" });
    await change("README.md", (text) => `${text}\n## Tests\n\nRun \`python tests/test_primes.py\`.\n`);
    await snapshots.createSnapshot({ reason: "tests described" });
    await change("config.json", (text) => text.replace("20", "50"));
    await snapshots.createSnapshot({ reason: "before the refactoring" });
    await change("README.md", (text) => text.replace("A small example", "Tells primes up to a bound. Try").concat("\n## Settings\n\n`limit` in `config.json` is the bound.\n"));
    await change("src/primes.py", (text) => text.replace("range(1, 21)", "range(2, 21)"));
  }
  await page.goto(`${url}/code?path=README.md`);
  await page.locator(".monaco-editor .view-line").first().waitFor();
  await page.keyboard.press("Control+j");
  await page.getByRole("tab", { name: tab }).click();
}

/** Asks for an import of a large archive. */
async function openImport(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/code?path=src/primes.py`);
  await page.locator(".monaco-editor .view-line").first().waitFor();
  await button(page, /^(Arbeitsbereich|Workspace):/).click();
  await page.getByRole("menuitem", { name: /^(Archiv einspielen|Import an archive)$/ }).click();
  const content = Buffer.alloc(500_000, "x");
  const archive = tarOf(Array.from({ length: 6 }, (_, i) => ({ path: `library/part${i}.txt`, content })));
  await page.getByRole("dialog").getByLabel(/^(Archiv|Archive)$/).setInputFiles({ name: "library-1.4.tar", mimeType: "application/x-tar", buffer: archive });
  await page.getByText("library-1.4.tar").waitFor();
}

export const code: Record<string, Scene> = {
  code: async (page, { url }) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    await page.keyboard.press("F5");
    await page.getByText("exit 0").first().waitFor();
    await settled(page, 900);
  },
  "code-locked": async (page, { url, person }) => {
    const { locks, files } = await clientsOf(url, person.email, person.password);
    const { text = "", version } = textOf(await files.readFile({ path: "src/primes.py" }));
    if (!text.includes("isqrt(n)  ")) await files.writeFile({ path: "src/primes.py", content: { case: "text", value: text.replace("isqrt(n) ", "isqrt(n)  ") }, ifVersion: version });
    await locks.acquireLock({ path: "src/primes.py", agentId: "coder-1", taskId: "0f0c1d2e-4b5a-4978-897a-6b5c4d3e2f1a", ttlMs: 133_000 });
    await locks.acquireLock({ path: "tests", scope: LockScope.SUBTREE, pinned: true });
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.getByText(/coder-1$/).first().waitFor();
    await page.keyboard.press("Control+Shift+F");
    await page.getByRole("searchbox").fill("prime");
    await page.getByRole("list", { name: /^(Treffer|Results)$/ }).getByRole("button").first().waitFor();
    await settled(page, 900);
    return async () => { for (const { lockId } of (await locks.listLocks({})).locks) await locks.releaseLock({ lockId }); };
  },
  "code-conflict": async (page, { url, person }) => {
    const { files } = await clientsOf(url, person.email, person.password);
    await page.goto(`${url}/code?path=config.json`);
    await page.locator(".monaco-editor .view-line").first().click();
    await page.keyboard.press("Control+Home");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("End");
    await page.keyboard.insertText(' "unit": "ms",');
    const { text = "", version } = textOf(await files.readFile({ path: "config.json" }));
    await files.writeFile({ path: "config.json", content: { case: "text", value: text.includes("true") ? text.replace("true", "false") : text.replace("false", "true") }, ifVersion: version });
    await page.keyboard.press("Control+s");
    await page.getByRole("dialog").locator(".view-line").first().waitFor();
    await settled(page, 900);
  },
  "code-snapshots": async (page, stage) => {
    await withHistory(page, stage, /^(Stände|Snapshots)$/);
    await page.getByRole("list", { name: /^(Stände|Snapshots)$/ }).getByRole("listitem").first().waitFor();
    await settled(page, 900);
  },
  "code-differences": async (page, stage) => {
    await withHistory(page, stage, /^(Stände|Snapshots)$/);
    await button(page, /before the refactoring/).first().click();
    await page.getByRole("dialog").locator(".view-line").first().waitFor();
    await settled(page, 900);
  },
  "code-timeline": async (page, stage) => {
    await withHistory(page, stage, /^(Zeitleiste|Timeline)$/);
    await page.getByRole("list", { name: /README/ }).waitFor();
    await settled(page, 900);
  },
  "code-split": async (page, { url }) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    await page.keyboard.press("Control+\\");
    if ((page.viewportSize()?.width ?? 0) < 768) await button(page, /^(Dateien|Files)$/).click();
    await page.getByRole("treeitem", { name: /README/ }).click();
    await page.locator(".monaco-editor .view-line", { hasText: "Primes" }).first().waitFor();
    await settled(page, 900);
  },
  "code-hunks": async (page, stage) => {
    await withHistory(page, stage, /^(Zeitleiste|Timeline)$/);
    await page.getByRole("list", { name: /README/ }).getByRole("button").last().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: /(Stelle 1 behalten|Keep change 1)$/ }).waitFor();
    await dialog.getByRole("button", { name: /(Stelle 1 behalten|Keep change 1)$/ }).click();
    await settled(page, 900);
  },
  "code-import": async (page, { url }) => {
    await openImport(page, url);
    await settled(page);
  },
  "code-import-progress": async (page, { url }) => {
    await openImport(page, url);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Network.enable");
    await cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: 1e9, uploadThroughput: 300_000 });
    await page.getByRole("dialog").getByRole("button", { name: /^(Einspielen|Import)$/ }).click();
    await page.getByRole("progressbar").and(page.locator("[aria-valuenow='0']")).waitFor({ state: "detached" });
    await settled(page, 200);
  },
  "code-drop": async (page, { url }) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    if ((page.viewportSize()?.width ?? 0) < 768) await button(page, /^(Dateien|Files)$/).click();
    await settled(page);
    const data = await page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["x"], "notes.txt"));
      return transfer;
    });
    for (const type of ["dragenter", "dragover"]) await page.getByRole("treeitem", { name: /^src/ }).dispatchEvent(type, { dataTransfer: data });
    await page.getByText(/^(In „src“ ablegen|Drop into “src”)$/).waitFor();
  },
  "code-upload": async (page, { url }) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    if ((page.viewportSize()?.width ?? 0) < 768) await button(page, /^(Dateien|Files)$/).click();
    const file = (name: string, size: number) => ({ name, mimeType: "", buffer: Buffer.alloc(size, "x") });
    await page.getByLabel(/^(Dateien hochladen|Upload files)$/).last().setInputFiles([file("config.json", 40), file("README.md", 80), file("dump.sql", 900_000), file(`new-${Date.now()}.txt`, 12)]);
    await page.getByRole("button", { name: /^(Alle ersetzen|Replace all)$/ }).waitFor();
    await settled(page);
  },
  "code-menu": async (page, { url }) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    if ((page.viewportSize()?.width ?? 0) < 768) await button(page, /^(Dateien|Files)$/).click();
    await page.getByRole("treeitem", { name: /primes\.py/ }).first().focus();
    await page.keyboard.press("ContextMenu");
    await page.getByRole("menu").waitFor();
    await settled(page);
  },
  workspaces: async (page, { url, person }) => {
    const { files } = await clientsOf(url, person.email, person.password);
    if ((await files.listWorkspaces({})).workspaces.length < 2) await files.createWorkspace({ name: "CSV tools" });
    await page.goto(`${url}/code?path=README.md`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    await button(page, /^(Arbeitsbereich|Workspace):/).click();
    await page.getByRole("menu").waitFor();
    await settled(page);
  },
};
