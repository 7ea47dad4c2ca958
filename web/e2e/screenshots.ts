// Pictures of every tab in both themes, at three widths, in German and English: of the running DevStudio at
// DEVSTUDIO_E2E_URL with content that e2e/stage.ts makes there, or of the double.
import { mkdirSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { LockScope } from "../src/gen/devstudio/sandbox/v1/lock_pb.ts";
import type { ReadFileResponse } from "../src/gen/devstudio/sandbox/v1/workspace_pb.ts";
import { launch, open, signIn, type View } from "./browser.ts";
import { clientsOf } from "./clients.ts";
import { startDouble } from "./double/main.ts";
import { tarOf } from "./double/uploads.ts";
import { setStage, type Stage } from "./stage.ts";

const out = process.env["SCREENSHOTS"] ?? new URL("../test-results/screenshots", import.meta.url).pathname;
const only = process.argv.slice(2);
mkdirSync(out, { recursive: true });

/** Makes what a picture shows; may give back how that is undone. */
type Scene = (page: Page, stage: Stage) => Promise<void | (() => Promise<void>)>;
const button = (page: Page, name: RegExp) => page.getByRole("button", { name });
async function settled(page: Page, ms = 500): Promise<void> {
  await page.mouse.move(720, 4);
  await page.waitForTimeout(ms);
}
async function ask(page: Page, text: string): Promise<void> {
  await page.getByLabel(/^(Nachricht|Message)$/).fill(text);
  await button(page, /^(Senden|Send)$/).click();
}

const textOf = ({ content, version }: ReadFileResponse) => ({ ...(content.case === "text" ? { text: content.value } : {}), version });

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

/** Opens two terminals and types into the second; the returned function closes them. */
async function inTerminal(page: Page, { url, person }: Stage, lines: string[], until: string): Promise<() => Promise<void>> {
  const { terminals } = await clientsOf(url, person.email, person.password);
  const closeAll = async () => { for (const { terminalId } of (await terminals.listTerminals({})).terminals) await terminals.closeTerminal({ terminalId }); };
  await closeAll();
  await terminals.openTerminal({ title: "cargo watch", columns: 80, rows: 24 });
  const { terminal } = await terminals.openTerminal({ title: "primes", columns: 80, rows: 24 });
  await page.goto(`${url}/terminal/${terminal?.terminalId}`);
  const rows = page.locator("[data-terminal] .xterm-rows > div");
  await rows.filter({ hasText: /\S/ }).first().waitFor();
  await page.locator("[data-terminal]").click();
  for (const line of lines) {
    await page.keyboard.insertText(line);
    await page.keyboard.press("Enter");
    await page.waitForTimeout(400);
  }
  await rows.filter({ hasText: until }).first().waitFor();
  return closeAll;
}
async function runFile(page: Page, url: string, path: string): Promise<void> {
  await page.goto(`${url}/run`);
  await page.getByRole("radio", { name: /^(Datei|File)$/ }).click();
  await page.getByRole("combobox", { name: /^(Datei|File)$/ }).click();
  await page.getByRole("option", { name: path }).click();
  await page.locator("section").getByRole("button", { name: /^(Ausführen|Run)$/ }).click();
}

/** Pictures of the person's own pages. */
/** Gives a task in Build mode. */
async function giveTask(page: Page, prompt: string, policy?: RegExp): Promise<void> {
  await page.getByRole("link", { name: /^Chat$/ }).first().click();
  await page.getByRole("radio", { name: /^(Build|Bauen)$/ }).click();
  await page.getByRole("textbox", { name: /^(Task|Aufgabe)$/ }).fill(prompt);
  if (policy) {
    await page.getByRole("combobox", { name: /^(What agents may do|Was Agenten dürfen)$/ }).click();
    await page.getByRole("option", { name: policy }).click();
  }
  await page.getByRole("button", { name: /^(Give the task|Aufgabe geben)$/ }).click();
}

const scenes: Record<string, Scene> = {
  build: async (page) => {
    await page.getByRole("link", { name: /^Chat$/ }).first().click();
    await page.getByRole("radio", { name: /^(Build|Bauen)$/ }).click();
    await page.getByRole("textbox", { name: /^(Task|Aufgabe)$/ }).waitFor();
  },
  agents: async (page, { url }) => {
    await page.goto(`${url}/admin/agents`);
    await page.getByRole("button", { name: /Coder/ }).waitFor();
  },
  "agents-edit": async (page, { url }) => {
    await page.goto(`${url}/admin/agents`);
    await page.getByRole("button", { name: /Coder/ }).click();
    await page.getByRole("dialog").waitFor();
    await settled(page);
  },
  setup: async (page, { url, person }) => {
    const { files } = await clientsOf(url, person.email, person.password);
    const { workspaceId } = await files.createWorkspace({ name: "Primes" });
    await page.goto(`${url}/setup?ws=${workspaceId}`);
    await page.getByRole("button", { name: /Shell-Skript|Shell script/ }).waitFor();
    return async () => { await files.deleteWorkspace({ workspaceId }); };
  },
  "setup-checked": async (page, { url, person }) => {
    const { files } = await clientsOf(url, person.email, person.password);
    const { workspaceId } = await files.createWorkspace({ name: "Greetings" });
    await page.goto(`${url}/setup?ws=${workspaceId}`);
    await page.getByRole("button", { name: /Python-Kommandozeile|Python command line/ }).click();
    await page.getByRole("button", { name: /schreiben und prüfen|and check/ }).click();
    await page.getByRole("main").getByText(/^(Geprüft|Checked)$/).waitFor();
    return async () => { await files.deleteWorkspace({ workspaceId }); };
  },
  "build-done": async (page) => {
    await giveTask(page, "Write add.py with a function that adds, and test it.");
    await page.getByRole("region", { name: /^(How it ended|Wie es ausging)$/ }).waitFor();
  },
  "build-steps": async (page) => {
    await giveTask(page, "Write add.py with a function that adds, and test it.");
    await page.getByRole("region", { name: /^(How it ended|Wie es ausging)$/ }).waitFor();
    await page.getByRole("log").evaluate((box) => box.scrollTo({ top: 0 }));
  },
  "build-asks": async (page) => {
    await giveTask(page, "Write add.py; there is a question.");
    await page.getByRole("textbox", { name: /^(Your answer|Ihre Antwort)$/ }).waitFor();
  },
  "build-approval": async (page) => {
    await giveTask(page, "Write add.py.", /^(Ask first|Erst fragen)/);
    await page.getByRole("button", { name: /^(Allow|Erlauben)$/ }).waitFor();
  },
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
  chat: async (page, { url, question }) => {
    await page.goto(`${url}/chat`);
    await ask(page, question);
    await button(page, /^(Neu erzeugen|Regenerate)$/).waitFor({ timeout: 90_000 });
    await settled(page, 900);
  },
  "chat-live": async (page, { url }) => {
    await page.goto(`${url}/chat`);
    await ask(page, "Explain what a sandbox is, and show a small Python program that needs one.");
    await page.getByTestId("cost").filter({ hasText: /[4-9]\d Token|[4-9]\d tokens/i }).waitFor({ timeout: 90_000 });
  },
  run: async (page, { url }) => {
    await page.goto(`${url}/run`);
    await page.getByLabel(/^Code$/).last().fill('for code, word in ((31, "red"), (32, "green"), (36, "cyan")):\n    print(f"\\x1b[{code}m{word}\\x1b[0m")\nraise SystemExit(3)');
    await page.locator("section").getByRole("button", { name: /^(Ausführen|Run)$/ }).click();
    await page.getByText("exit 3").first().waitFor();
    await settled(page);
  },
  "run-problems": async (page, { url, person }) => {
    const { files } = await clientsOf(url, person.email, person.password);
    await files.writeFile({ path: "src/shop.py", content: { case: "text", value: "def price(value):\n    return value * rate\n\n\nprint(price(2.5))\n" } });
    await runFile(page, url, "src/shop.py");
    await page.getByText("exit 1").first().waitFor();
    await page.getByRole("button", { name: /NameError/ }).waitFor();
    await settled(page);
  },
  "run-input": async (page, { url }) => {
    await page.goto(`${url}/run`);
    await page.getByLabel(/^Code$/).last().fill('name = input("Name? ")\nprint(f"Hello {name}")\ninput("More? ")');
    const more = page.locator("summary").filter({ hasText: /^(Eingabe|Input)/ });
    if (await more.isVisible()) await more.click();
    await page.getByRole("switch").click();
    await page.locator("section").getByRole("button", { name: /^(Ausführen|Run)$/ }).click();
    await page.getByRole("textbox", { name: /^(Zeile an das Programm|Line for the program)$/ }).fill("Ada");
    await page.keyboard.press("Enter");
    await page.getByText("Hello Ada").first().waitFor();
    await settled(page);
    return async () => { await page.close(); };
  },
  "run-compare": async (page, { url }) => {
    for (const step of [2, 3]) {
      await page.goto(`${url}/run`);
      await page.getByLabel(/^Code$/).last().fill(`for n in range(30):\n    print("row", n, "fits" if n % ${step} or n < 10 else "does not fit")`);
      await page.locator("section").getByRole("button", { name: /^(Ausführen|Run)$/ }).click();
      await page.getByRole("log").getByText(/row 2\d/).first().waitFor();
      await page.getByText("exit 0").first().waitFor();
    }
    const history = button(page, /^(Verlauf|History)$/);
    if (await history.isVisible()) await history.click();
    await button(page, /^(Vergleichen|Compare)/).click();
    for (const i of [0, 1]) await page.getByRole("checkbox").nth(i).click();
    await button(page, /^(Vergleichen|Compare)/).click();
    await page.locator("ins").first().waitFor();
    await settled(page);
  },
  terminal: async (page, stage) => {
    const end = await inTerminal(page, stage, ["ls -la --color=always", "python3 src/primes.py | tail -4", "printf '\\033[1;33mwarning\\033[0m\\033[1m: unused import\\033[0m\\n\\033[34m --> \\033[0msrc/error.rs:3:5\\n'"], "src/error.rs:3:5");
    await button(page, /^(Im Terminal suchen|Search in terminal)$/).click();
    await page.getByRole("search").getByRole("textbox").fill("src");
    await page.getByText(/ (von|of) \d/).first().waitFor();
    await settled(page);
    return end;
  },
  "terminal-lost": async (page, stage) => {
    let down = false;
    const cuts: (() => Promise<void>)[] = [];
    await page.routeWebSocket(/stream\/terminal\//, (socket) => {
      if (down) return void socket.close();
      const upstream = socket.connectToServer();
      cuts.push(async () => { await upstream.close(); await socket.close(); });
    });
    const end = await inTerminal(page, stage, ["ls --color=always", "echo $((40+2))"], "42");
    down = true;
    for (const cut of cuts) await cut();
    await page.getByText(/in [4-9] s\./).first().waitFor();
    await settled(page, 200);
    return end;
  },
  "terminal-throttled": async (page, stage) => {
    const end = await inTerminal(page, stage, ["yes 'as fast as it can'"], "as fast as it can");
    await page.getByText(/^(gedrosselt|throttled)$/).waitFor();
    await settled(page, 300);
    return end;
  },
  "terminal-ended": async (page, stage) => {
    const end = await inTerminal(page, stage, ["echo bye", "exit 3"], "bye");
    await page.getByText(/exit 3/).first().waitFor();
    await settled(page);
    return end;
  },
  "terminal-ports": async (page, stage) => {
    const end = await inTerminal(page, stage, ["head -c 700000 /dev/zero > huge.bin", "python3 -m http.server 8000"], "Serving HTTP");
    await button(page, /8000/).first().waitFor();
    await page.getByText("huge.bin").nth(1).waitFor();
    await settled(page);
    return end;
  },
  "terminal-menu": async (page, stage) => {
    const end = await inTerminal(page, stage, ["echo $((40+2))"], "42");
    await page.locator("[data-terminal]").click({ button: "right", position: { x: 160, y: 120 } });
    await page.getByRole("menu").waitFor();
    await settled(page);
    return end;
  },
  logs: async (page, { url, work }) => {
    await work();
    await page.goto(`${url}/logs?level=debug`);
    await page.getByRole("log").getByRole("button").last().waitFor();
    await settled(page);
  },
  "logs-line": async (page, { url }) => {
    await page.goto(`${url}/logs`);
    await page.getByRole("log").getByRole("button").filter({ hasText: "a chat finished" }).last().click();
    await settled(page);
  },
  models: async (page, { url }) => {
    await page.goto(`${url}/admin/models`);
    await settled(page, 61_000);
  },
  users: async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /Jonas Lenz/).first().waitFor();
    if ((page.viewportSize()?.width ?? 0) > 768) await page.locator("table").getByRole("button", { name: /Jonas Lenz/ }).click();
    await settled(page, 700);
  },
  "users-person": async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /Aylin Demir/).first().waitFor();
    await button(page, /Aylin Demir/).and(page.locator(":visible")).click();
    await settled(page, 700);
  },
  "users-add": async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /^(Nutzer anlegen|Nutzer hinzufügen|Add user)$/).click();
    await settled(page);
  },
  usage: async (page, { url }) => {
    await page.goto(`${url}/admin/usage`);
    await page.locator("svg[role=img] rect").first().waitFor({ state: "attached" });
    await settled(page);
  },
  account: async (page, { url }) => {
    await page.goto(`${url}/account`);
    await page.locator("svg[role=img] rect").first().waitFor({ state: "attached" });
    await settled(page);
  },
  palette: async (page, { url }) => {
    await page.goto(`${url}/code`);
    await settled(page, 800);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("pr");
    await settled(page);
  },
  error: async (page, { url }) => {
    await page.goto(`${url}/run/00000000-0000-4000-8000-000000009999`);
    await page.getByRole("alert").waitFor();
    await settled(page);
  },
  menu: async (page, { url }) => {
    await page.goto(`${url}/code`);
    await button(page, /^(Menü von|Menu of)/).click();
    await settled(page);
  },
};
/** What goes on while all pictures of a scene are taken at once; the returned function ends it. */
const meanwhile: Record<string, (stage: Stage) => Promise<() => Promise<unknown>>> = {
  models: async ({ load, download }) => {
    const idle = load();
    const cancel = await download();
    return () => Promise.all([idle(), cancel()]);
  },
};
/** Pictures for which nobody, or somebody else, is signed in. */
const apart: Record<string, Scene> = {
  signin: async (page, { url, person }) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill(person.email);
  },
  "signin-wrong": async (page, { url, person }) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill(person.email);
    await page.locator("#password").fill("wrong-one");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").and(page.locator(":visible")).waitFor();
  },
  "chat-error": async (page, { url, spent }) => {
    await signIn(page, url, spent.email, spent.password);
    await page.goto(`${url}/chat`);
    await ask(page, "What of my budget is left?");
    await page.getByRole("alert").waitFor();
    await settled(page);
  },
  "empty-code": async (page, stage) => empty(page, stage, "code"),
  "empty-chat": async (page, stage) => empty(page, stage, "chat"),
  "empty-run": async (page, stage) => empty(page, stage, "run"),
  "empty-logs": async (page, stage) => empty(page, stage, "logs?text=nothing-fits-this"),
  "empty-account": async (page, stage) => empty(page, stage, "account"),
};
async function empty(page: Page, { url, newcomer }: Stage, path: string): Promise<void> {
  await signIn(page, url, newcomer.email, newcomer.password);
  await page.goto(`${url}/${path}`);
  await settled(page, 2_500);
}

async function take(browser: Browser, stage: Stage, name: string, view: View): Promise<void> {
  const { context, page, complaints } = await open(browser, stage.url, view);
  const file = `${name}-${view.theme === "SerialSteel" ? "steel" : "neon"}-${view.locale}-${view.width}`;
  let undo: void | (() => Promise<void>) = undefined;
  try {
    await context.addInitScript((kept) => { for (const [key, value] of kept) if (!localStorage.getItem(key)) localStorage.setItem(key, value); }, stage.kept);
    if (name in scenes) await signIn(page, stage.url, stage.person.email, stage.person.password);
    undo = await (scenes[name] ?? apart[name])?.(page, stage);
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) complaints.push("the page is wider than the window");
  } catch (cause) {
    complaints.push(String(cause).slice(0, 400));
  }
  await page.screenshot({ path: `${out}/${file}.png` });
  const own = complaints.filter((c) => !/401|404|429|409|403|ERR_/.test(c));
  console.log(`${file}${own.length > 0 ? `\n  ${own.join("\n  ")}` : ""}`);
  await context.close();
  await undo?.();
}

/** The double as a stage: its people and files are there from its start. */
async function double(): Promise<Stage> {
  const { url, close } = await startDouble();
  const password = "correct horse";
  const dev = { email: "dev@devstudio.local", password };
  const nothing = () => Promise.resolve();
  return { url, person: { email: "admin@devstudio.local", password }, newcomer: dev, spent: dev, kept: [], question: "Write a Python function that tells even numbers.", work: nothing, load: () => nothing, download: () => Promise.resolve(nothing), close };
}

const address = process.env["DEVSTUDIO_E2E_URL"];
const admin = { email: process.env["DEVSTUDIO_E2E_EMAIL"] ?? "admin@localhost", password: process.env["DEVSTUDIO_E2E_PASSWORD"] ?? "" };
const stage = address ? await setStage(address, admin, process.env["DEVSTUDIO_E2E_HUB"] ?? "") : await double();
const browser = await launch();
const views: View[] = [
  { width: 1440, theme: "NeonCyberNight", locale: "de" },
  { width: 1440, theme: "SerialSteel", locale: "en" },
  { width: 390, theme: "NeonCyberNight", locale: "de" },
  { width: 390, theme: "SerialSteel", locale: "en" },
  { width: 1280, theme: "NeonCyberNight", locale: "en" },
  { width: 1280, theme: "SerialSteel", locale: "de" },
];
const names = [...Object.keys(apart), ...Object.keys(scenes)].filter((name) => only.filter((o) => !/^\d+$/.test(o)).length === 0 || only.includes(name));
const widths = only.filter((o) => /^\d+$/.test(o)).map(Number);
for (const name of names) {
  const end = await meanwhile[name]?.(stage);
  const wanted = views.filter((view) => widths.length === 0 || widths.includes(view.width));
  if (end) await Promise.all(wanted.map((view) => take(browser, stage, name, view)));
  else for (const view of wanted) await take(browser, stage, name, view);
  await end?.();
}
await browser.close();
await stage.close();
