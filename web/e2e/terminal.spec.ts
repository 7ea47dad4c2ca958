// Terminals as a person meets them, on the server or the double: shells, files, reloads, cuts, floods, ports.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { faults, views } from "./axe.ts";
import { launch, open, signIn, type View } from "./browser.ts";
import { clientsOf } from "./clients.ts";
import { tasksOf } from "./trace.ts";

const server = inject("server");
const patient = 15_000;
let browser: Browser;
let page: Page;
let complaints: string[];
let clients: Awaited<ReturnType<typeof clientsOf>>;
let workspaceId = "";
let leave: () => Promise<void>;

beforeAll(async () => {
  browser = await launch();
  clients = await clientsOf(server.url, server.email, server.password);
  ({ workspaceId } = await clients.files.createWorkspace({ name: `Terminal ${Date.now().toString(36)}` }));
});
afterAll(async () => {
  await closeAll();
  await clients.files.deleteWorkspace({ workspaceId });
  await browser.close();
});
beforeEach(() => enter({ width: 1440, locale: "en" }));
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") await page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-").slice(0, 80)}.png` });
  await leave();
  await closeAll();
});

async function enter(view: View): Promise<void> {
  const opened = await open(browser, server.url, { ...view, reducedMotion: true });
  ({ page, complaints } = opened);
  leave = () => opened.context.close();
  await opened.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  page.setDefaultTimeout(patient);
  await signIn(page, server.url, server.email, server.password);
}
async function closeAll(): Promise<void> {
  for (const { terminalId } of (await clients.terminals.listTerminals({ workspaceId })).terminals) await clients.terminals.closeTerminal({ terminalId });
}
const rows = () => page.locator("[data-terminal] .xterm-rows > div");
const row = (text: string | RegExp) => rows().filter({ hasText: text });
/** Waits for the answer of a program: a row that begins so, which what was typed does not. */
const answer = (text: string) => row(new RegExp(`^${text}`)).first().waitFor();
async function openTerminal(): Promise<string> {
  await page.goto(`${server.url}/terminal?ws=${workspaceId}`);
  await page.getByRole("button", { name: "Open terminal" }).click();
  await page.waitForURL(/\/terminal\/[0-9a-f-]{36}/);
  await page.locator("[data-terminal] .xterm").waitFor();
  await row(/\S/).first().waitFor();
  return /terminal\/([0-9a-f-]{36})/.exec(page.url())?.[1] ?? "";
}
async function type(line: string): Promise<void> {
  await page.keyboard.insertText(line);
  await page.keyboard.press("Enter");
}
/** Waits until the program is told the size that the page shows. */
async function toldSize(): Promise<void> {
  await expect.poll(async () => {
    const [, columns, lines] = /(\d+) columns, (\d+) rows/.exec((await page.getByRole("img", { name: /\d+ columns, \d+ rows/ }).getAttribute("aria-label")) ?? "") ?? [];
    await type("stty size");
    return row(new RegExp(`^${lines} ${columns}\\s*$`)).count();
  }, { timeout: 5_000, interval: 200 }).toBeGreaterThan(0);
}
/** All that the terminal holds, as a person copies it. */
async function everything(): Promise<string> {
  await page.locator("[data-terminal]").click({ button: "right", position: { x: 300, y: 60 } });
  await page.getByRole("menuitem", { name: "Select all" }).click();
  await page.keyboard.press("Control+Shift+C");
  await page.getByText("Copied").first().waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

describe("a terminal", () => {
  test("runs a shell, says its isolation and size, and nothing complains", async () => {
    await openTerminal();
    await type("echo hello-$((40+2))");
    await answer("hello-42");
    await toldSize();
    expect(complaints.filter((text) => !/40\d|ERR_/.test(text))).toEqual([]);
  });

  test("follows the window's size", async () => {
    await openTerminal();
    const size = () => page.getByRole("img", { name: /\d+ columns/ }).getAttribute("aria-label");
    const before = await size();
    expect(before).not.toBeNull();
    await page.setViewportSize({ width: 1000, height: 620 });
    await expect.poll(size, { timeout: 5_000 }).not.toBe(before);
    await toldSize();
  });

  test("stores within a second what is written in it, and shows it in the tree", async () => {
    await openTerminal();
    await type("echo ready-$((1+1))");
    await answer("ready-2");
    await type("echo made > made.txt; echo stored-$((1+1))");
    await answer("stored-2");
    const from = Date.now();
    await expect.poll(async () => (await clients.files.listFiles({ workspaceId })).entries.map((entry) => entry.path), { timeout: 3_000, interval: 50 }).toContain("made.txt");
    expect(Date.now() - from).toBeLessThan(1_000);
    await page.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Code" }).click();
    await page.getByRole("treeitem", { name: /^made\.txt/ }).waitFor();
  });

  test("names a file that is too large for the workspace", async () => {
    await openTerminal();
    await type("head -c 700000 /dev/zero > huge.bin");
    await page.getByText("Not taken over into the workspace:").waitFor();
    await page.getByRole("status").getByText("huge.bin").waitFor();
  });

  test("comes back after a reload, with its output and under its own address", async () => {
    const id = await openTerminal();
    await type("echo before-$((1+1)); sleep 0.2; printf '\\033[6n\\033[c'");
    await answer("before-2");
    await page.reload();
    await page.locator("[data-terminal] .xterm").waitFor();
    await answer("before-2");
    expect(page.url()).toContain(id);
    // What the screen answered to questions of then is not typed into the shell now.
    await page.keyboard.press("Control+u");
    await type("echo after-$((1+1))");
    await answer("after-2");
  });

  test("loses no line and doubles none while its connection is cut again and again", async () => {
    let cut = () => Promise.resolve();
    let cuts = 0;
    await page.routeWebSocket(/stream\/terminal\//, (socket) => {
      const upstream = socket.connectToServer();
      cut = async () => { cuts += 1; await upstream.close(); await socket.close(); };
    });
    await openTerminal();
    await type("clear; for i in $(seq 1 3000); do echo \"line-$i\"; [ $((i % 100)) = 0 ] && sleep 0.2; done; echo end-$((1+1))");
    for (let i = 1; i <= 3; i += 1) {
      await page.waitForFunction((least) => [...document.querySelectorAll("[data-terminal] .xterm-rows > div")].some((line) => Number(/^line-(\d+)/.exec(line.textContent ?? "")?.[1]) >= least), i * 500);
      await cut();
      await page.getByText("Connection lost.").first().waitFor();
      await page.getByText("Connection lost.").first().waitFor({ state: "detached" });
    }
    await answer("end-2");
    expect(cuts).toBe(3);
    const lines = [...(await everything()).matchAll(/^line-(\d+)\s*$/gm)].map((found) => Number(found[1]));
    expect(lines).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
  });

  test("counts down to the next try, and tries at once when asked", async () => {
    let down = false;
    let cut = () => Promise.resolve();
    await page.routeWebSocket(/stream\/terminal\//, (socket) => {
      if (down) return void socket.close();
      const upstream = socket.connectToServer();
      cut = async () => { await upstream.close(); await socket.close(); };
    });
    await openTerminal();
    await type("echo kept-$((1+1))");
    await answer("kept-2");
    down = true;
    await cut();
    const bar = page.getByRole("status").filter({ hasText: "Connection lost." });
    await bar.getByText(/Trying again in [2-9] s\./).waitFor();
    await bar.getByText("What runs goes on.", { exact: false }).waitFor();
    await answer("kept-2");
    down = false;
    await bar.getByRole("button", { name: "Try now" }).click();
    await bar.waitFor({ state: "detached" });
    await type("echo again-$((1+1))");
    await answer("again-2");
  });

  test("a flood of output leaves the page responsive, and Ctrl C arrives within a second", async () => {
    await openTerminal();
    const from = Date.now();
    await type("yes | head -c 33000000; echo done-$((1+1))");
    await page.getByText("throttled").waitFor();
    await row(/^done-2/).first().waitFor({ timeout: 110_000 });
    console.log(`50 MB in ${((Date.now() - from) / 1000).toFixed(1)} s`);
    await browser.startTracing(page, { categories: ["toplevel"] });
    await type("yes");
    await expect.poll(() => row(/^y\s*$/).count(), { timeout: patient }).toBeGreaterThan(10);
    await page.getByText("throttled").waitFor();
    // Two hundred frames of the page under the flood are what is looked at.
    await page.evaluate(() => new Promise<void>((done) => {
      let frames = 0;
      const next = () => { frames += 1; if (frames < 200) requestAnimationFrame(next); else done(); };
      next();
    }));
    const pressed = Date.now();
    await page.keyboard.press("Control+c");
    await type("echo back-$((1+1))");
    await answer("back-2");
    const took = Date.now() - pressed;
    const { longestMs, tasks } = tasksOf(await browser.stopTracing());
    console.log(`Ctrl C in ${took} ms; longest of ${tasks} tasks ${longestMs.toFixed(0)} ms`);
    expect(took).toBeLessThan(1_000);
    expect(tasks).toBeGreaterThan(100);
    expect(longestMs).toBeLessThan(200);
  });

  test("says how its shell ended, and offers a new one", async () => {
    await openTerminal();
    await type("exit 3");
    await page.getByRole("status").getByText("Ended with exit 3.").waitFor();
    await page.getByRole("button", { name: "bash ended 3" }).or(page.getByRole("group", { name: "Terminals" }).getByText("ended 3")).first().waitFor();
    await page.getByRole("status").getByRole("button", { name: "New terminal" }).click();
    await expect.poll(() => page.getByRole("group", { name: "Terminals" }).getByRole("button", { name: /^Close / }).count()).toBe(2);
    await page.locator("[data-terminal] .xterm").waitFor();
    await type("echo second-$((1+1))");
    await answer("second-2");
  });

  test("leaves nothing behind when the last one is closed", async () => {
    const attached: string[] = [];
    page.on("websocket", (socket) => { if (socket.url().includes("/stream/terminal/")) attached.push(/terminal\/([0-9a-f-]{36})/.exec(socket.url())?.[1] ?? ""); });
    const first = await openTerminal();
    // The list takes its time, so that what is drawn before it comes anew is seen.
    await page.route("**/ListTerminals", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await route.continue();
    });
    await page.evaluate(() => new MutationObserver(() => { if (document.body.textContent.includes("This terminal no longer exists")) document.body.dataset["gone"] = "said"; }).observe(document.body, { childList: true, subtree: true, characterData: true }));
    await page.getByRole("group", { name: "Terminals" }).getByRole("button", { name: /^Close / }).click();
    await page.getByRole("heading", { name: "No terminal yet" }).waitFor();
    await expect.poll(() => new URL(page.url()).pathname).toBe("/terminal");
    // The way to the second one is the longer one: an attachment to the first would stand before it.
    await page.getByRole("button", { name: "Open terminal" }).click();
    await page.waitForURL(/\/terminal\/[0-9a-f-]{36}/);
    await row(/\S/).first().waitFor();
    const second = /terminal\/([0-9a-f-]{36})/.exec(page.url())?.[1];
    expect(attached).toEqual([first, second]);
    expect(await page.evaluate(() => document.body.dataset["gone"])).toBeUndefined();
  });

  test("is searched, and the keyboard alone leads in and out", async () => {
    await page.goto(`${server.url}/code?ws=${workspaceId}`);
    await page.getByRole("button", { name: "New file" }).first().waitFor();
    await page.keyboard.press("Control+4");
    await page.getByRole("button", { name: "Open terminal" }).focus();
    await page.keyboard.press("Enter");
    await page.locator("[data-terminal] .xterm").waitFor();
    await row(/\S/).first().waitFor();
    await type("for i in 1 2 3; do echo needle-$((i+6)); done");
    await answer("needle-9");
    await page.keyboard.press("Control+Shift+F");
    await page.getByRole("textbox", { name: "Search in terminal" }).waitFor();
    await page.keyboard.type("needle-");
    await page.getByText(/^4 of 4$/).waitFor();
    await page.keyboard.press("Enter");
    await page.getByText(/^3 of 4$/).waitFor();
    await page.keyboard.press("Shift+Enter");
    await page.getByText(/^4 of 4$/).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement?.classList.contains("xterm-helper-textarea"));
    await page.keyboard.press("F6");
    await page.waitForFunction(() => document.activeElement?.tagName === "BUTTON");
    await page.keyboard.press("F6");
    await page.waitForFunction(() => document.activeElement?.classList.contains("xterm-helper-textarea"));
    await page.keyboard.press("Control+Alt+n");
    await expect.poll(() => page.getByRole("group", { name: "Terminals" }).getByRole("button", { name: /^Close / }).count()).toBe(2);
    const second = page.url();
    await page.waitForFunction(() => document.activeElement?.classList.contains("xterm-helper-textarea"));
    await page.keyboard.press("Control+Shift+ArrowLeft");
    await page.waitForFunction((address) => location.href !== address, second);
    await answer("needle-9");
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("close terminal");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: /^Close .+\?$/ });
    await dialog.getByRole("button", { name: "Close terminal" }).click();
    await page.waitForFunction((address) => location.href === address, second);
  });

  test("a program may not write to the clipboard, and its title is only text", async () => {
    await openTerminal();
    await page.evaluate(() => navigator.clipboard.writeText("mine"));
    await type("printf '\\033]52;c;%s\\007\\033]0;<b>title</b> of %s\\007' \"$(printf stolen | base64)\" mine; echo sent-$((1+1))");
    await answer("sent-2");
    await page.getByRole("group", { name: "Terminals" }).getByText("<b>title</b> of mine").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("mine");
  });

  test("what is pasted arrives as it is", async () => {
    await openTerminal();
    // The shell echoes nothing between a line's end and the program's start: what was pasted then would not be seen.
    await type("echo ready-$((1+1)); cat > pasted.txt");
    await answer("ready-2");
    await page.evaluate(() => navigator.clipboard.writeText("ä € 日本 $HOME\nsecond line\n"));
    await page.keyboard.press("Control+Shift+V");
    await row(/^second line/).first().waitFor();
    await page.keyboard.press("Control+d");
    await type("wc -c < pasted.txt");
    await answer("32");
  });

  test("a phone's row of keys types what its keyboard lacks", async () => {
    await leave();
    await enter({ width: 390, locale: "en" });
    await openTerminal();
    await page.locator("[data-terminal]").click();
    await type("echo up-$((1+1))");
    await answer("up-2");
    const keys = page.getByRole("group", { name: "Keys" });
    await keys.getByRole("button", { name: "ArrowUp" }).click();
    await page.keyboard.press("Enter");
    await expect.poll(() => row(/^up-2/).count()).toBe(2);
    await type("cat");
    await keys.getByRole("button", { name: "Ctrl" }).click();
    await page.keyboard.insertText("c");
    expect(await keys.getByRole("button", { name: "Ctrl" }).getAttribute("aria-pressed")).toBe("false");
    await type("echo free-$((1+1))");
    await answer("free-2");
    await type("echo tab-$((1+1)) > to-be-found; echo kept-$((1+1))");
    await answer("kept-2");
    await page.keyboard.insertText("cat to-be");
    await keys.getByRole("button", { name: "Tab", exact: true }).click();
    await page.keyboard.press("Enter");
    await answer("tab-2");
  });

  test("a port that a program opens is served in a tab of its own, for its owner", async () => {
    const { previewHost } = (await (await fetch(`${server.url}/version`)).json()) as { previewHost: string | null };
    await clients.files.writeFile({ workspaceId, path: "index.html", content: { case: "text", value: "<h1>from the sandbox</h1>" } });
    await openTerminal();
    await type("python3 -m http.server 8000");
    const chip = page.getByRole("button", { name: "Open port 8000" });
    await chip.waitFor();
    if (previewHost === null) {
      await chip.click();
      await page.getByRole("dialog", { name: "Previews are not set up here" }).waitFor();
      return;
    }
    const [preview] = await Promise.all([page.context().waitForEvent("page"), chip.click()]);
    await preview.getByRole("heading", { name: "from the sandbox" }).waitFor();
    expect(new URL(preview.url()).host).toMatch(new RegExp(`^[0-9a-z-]+\\.${previewHost.replaceAll(".", "\\.")}$`));
    expect(await preview.evaluate(() => window.opener === null)).toBe(true);
    const stranger = await browser.newContext();
    const refused = await (await stranger.newPage()).goto(preview.url());
    expect([401, 403, 404]).toContain(refused?.status());
    await stranger.close();
    await preview.close();
    await page.getByRole("button", { name: "Copy the address of port 8000" }).click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toMatch(/^https?:\/\/[0-9a-z-]+\..+\/$/);
    await page.locator("[data-terminal]").click();
    await page.keyboard.press("Control+c");
    await chip.waitFor({ state: "detached" });
  });
});

describe("where something is missing", () => {
  test("a terminal that was closed elsewhere says so", async () => {
    const terminalId = await openTerminal();
    await clients.terminals.closeTerminal({ terminalId });
    await page.getByRole("heading", { name: "This terminal no longer exists" }).or(page.getByText("This terminal no longer exists")).first().waitFor();
    await page.goto(`${server.url}/terminal/00000000-0000-4000-8000-000000000000?ws=${workspaceId}`);
    await page.getByRole("heading", { name: "This terminal no longer exists" }).waitFor();
  });
});

test.each(views)("axe finds nothing serious in a terminal's states ($width, $theme)", async (view) => {
  await leave();
  await enter(view);
  let cut = () => Promise.resolve();
  let down = false;
  await page.routeWebSocket(/stream\/terminal\//, (socket) => {
    if (down) return void socket.close();
    const upstream = socket.connectToServer();
    cut = async () => { await upstream.close(); await socket.close(); };
  });
  const found: string[] = [];
  const check = async (name: string) => {
    found.push(...await faults(page, name));
    if ((await page.locator("h1").count()) !== 1) found.push(`${name} has not exactly one h1`);
  };
  await page.goto(`${server.url}/terminal?ws=${workspaceId}`);
  await page.getByRole("button", { name: /^(Terminal öffnen|Open terminal)$/ }).waitFor();
  await check("empty");
  await page.getByRole("button", { name: /^(Terminal öffnen|Open terminal)$/ }).click();
  await page.locator("[data-terminal] .xterm").waitFor();
  await row(/\S/).first().waitFor();
  await page.locator("[data-terminal]").click();
  await type("for c in 30 31 32 33 34 35 36 37 90 91 97; do printf \"\\033[${c}mcolour $c\\033[0m \"; done; echo; head -c 700000 /dev/zero > huge.bin; python3 -m http.server 8000");
  await page.getByRole("button", { name: /8000/ }).first().waitFor();
  await page.getByText("huge.bin").first().waitFor();
  await check("with a port and a refused file");
  await page.getByRole("button", { name: /^(Im Terminal suchen|Search in terminal)$/ }).click();
  await page.getByRole("search").getByRole("textbox").fill("colour");
  await page.getByText(/ (von|of) \d/).first().waitFor();
  await check("with a search");
  await page.keyboard.press("Escape");
  down = true;
  await cut();
  await page.getByText(/^(Verbindung verloren|Connection lost)/).first().waitFor();
  await check("without a connection");
  expect(found).toEqual([]);
});
