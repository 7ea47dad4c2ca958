// A workspace seen from two browsers of one person: changes, locks, conflicts, snapshots, search, the switcher.
import { afterAll, beforeAll, beforeEach, expect, inject, onTestFailed, test } from "vitest";
import type { Browser, Locator, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";
import { clientsOf } from "./clients.ts";

const server = inject("server");
const name = `Journey ${Date.now().toString(36)}`;
const complaints: string[] = [];
let browser: Browser;
let one: Page;
let two: Page;
let clients: Awaited<ReturnType<typeof clientsOf>>;
let workspaceId = "";

beforeAll(async () => {
  browser = await launch();
  clients = await clientsOf(server.url, server.email, server.password);
  [one, two] = await Promise.all([enter(), enter()]);
});
beforeEach(({ task }) => {
  onTestFailed(async () => { for (const [i, page] of [one, two].entries()) await page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-")}-${i + 1}.png` }); });
});
afterAll(() => browser.close());

async function enter(): Promise<Page> {
  const opened = await open(browser, server.url, { width: 1440, locale: "en" });
  opened.page.setDefaultTimeout(20_000);
  await signIn(opened.page, server.url, server.email, server.password);
  opened.page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  return opened.page;
}
const item = (page: Page, wanted: RegExp | string) => page.getByRole("treeitem", { name: wanted });
const line = (page: Page, text: string): Locator => page.locator(".monaco-editor .view-line", { hasText: text }).first();
const saved = (page: Page) => page.getByText(/Saved, version \d/).first().waitFor();
const panel = (page: Page, tab: string) => page.getByRole("tablist", { name: "Lower panel" }).getByRole("tab", { name: tab });
async function choose(page: Page, file: string): Promise<void> {
  await item(page, file).click();
  await page.locator(".monaco-editor .view-line").first().waitFor();
}
/** Types at the end of a line, counted from 1. */
async function typeAt(page: Page, row: number, text: string): Promise<void> {
  await page.locator(".monaco-editor .view-line").first().click();
  await page.keyboard.press("Control+Home");
  for (let i = 1; i < row; i += 1) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("End");
  await page.keyboard.insertText(text);
}
async function inMenu(page: Page, of: string, entry: string): Promise<void> {
  await item(page, of).click({ button: "right" });
  await page.getByRole("menuitem", { name: entry, exact: true }).click();
}

test("a workspace is made and stands in the address", async () => {
  await one.getByRole("button", { name: /^Workspace:/ }).click();
  await one.getByRole("menuitem", { name: "New workspace" }).click();
  await one.getByLabel("Name of the workspace").fill(name);
  await one.getByRole("switch", { name: "Set it up at once" }).click();
  await one.getByRole("button", { name: "Create workspace" }).click();
  await one.getByRole("button", { name: `Workspace: ${name}` }).waitFor();
  await one.waitForURL(/[?&]ws=/);
  workspaceId = new URL(one.url()).searchParams.get("ws") ?? "";
  await one.getByRole("heading", { name: "This workspace is empty" }).waitFor();
  await two.goto(one.url());
  await two.getByRole("button", { name: `Workspace: ${name}` }).waitFor();
});

test("a file made in one browser is in the other's tree at once, and so is what is saved in it", async () => {
  await one.keyboard.press("Control+Alt+n");
  await one.getByLabel("Path of the file").fill("src/notes.txt");
  await one.getByRole("button", { name: "Create file" }).click();
  await item(two, "src").click();
  await item(two, "notes.txt").waitFor();
  await one.locator(".monaco-editor .view-line").first().click();
  await one.keyboard.insertText("first\nsecond\nthird\nfourth\nfifth\nsixth\nseventh\n");
  await one.keyboard.press("Control+s");
  await saved(one);
  await choose(two, "notes.txt");
  await line(two, "seventh").waitFor();
  await typeAt(one, 1, " of one");
  await one.keyboard.press("Control+s");
  await line(two, "first of one").waitFor();
});

test("the tree says what the last change was", async () => {
  await item(two, /notes\.txt.*1 lines added, 1 removed/).waitFor();
});

test("unsaved text meets another's change: a banner, and both merged", async () => {
  await typeAt(two, 7, " of two");
  await two.getByText("notes.txt (not saved)").waitFor({ state: "attached" });
  await typeAt(one, 1, " again");
  await one.keyboard.press("Control+s");
  await two.getByText("The stored file changed. Your changes are not saved yet.").waitFor();
  await two.getByRole("button", { name: "Compare" }).click();
  const dialog = two.getByRole("dialog", { name: /notes.txt changed meanwhile/ });
  await dialog.getByText("Both changes fit together.", { exact: false }).waitFor();
  await dialog.getByRole("radio", { name: "Your version" }).click();
  await dialog.getByRole("button", { name: "Save your version" }).waitFor();
  await dialog.getByRole("radio", { name: "Merged" }).click();
  await dialog.locator(".view-line", { hasText: "seventh of two" }).first().waitFor();
  await dialog.getByRole("button", { name: "Save merged version" }).click();
  await dialog.waitFor({ state: "detached" });
  for (const page of [one, two]) {
    await line(page, "first of one again").waitFor();
    await line(page, "seventh of two").waitFor();
  }
});

test("a save that comes too late is refused, and the same lines are decided by the person", async () => {
  await typeAt(two, 3, " from two");
  await clients.files.editFile({ workspaceId, path: "src/notes.txt", hunks: [{ search: "third\n", replace: "third from elsewhere\n" }] });
  await two.keyboard.press("Control+s");
  const dialog = two.getByRole("dialog", { name: /notes.txt changed meanwhile/ });
  await dialog.getByText("Both changed the same lines.", { exact: false }).waitFor();
  expect(await dialog.getByRole("button", { name: "Save merged version" }).isDisabled()).toBe(true);
  await dialog.getByRole("radio", { name: "Stored version" }).click();
  await dialog.getByRole("button", { name: "Load the stored version" }).click();
  for (const page of [one, two]) await line(page, "third from elsewhere").waitFor();
});

test("an agent's lock makes the file read-only, is asked back, and ends without a reload", async () => {
  const taskId = crypto.randomUUID();
  const { lockId } = await clients.locks.acquireLock({ workspaceId, path: "src/notes.txt", agentId: "coder-1", taskId, ttlMs: 600_000 });
  for (const page of [one, two]) {
    await page.getByText("Locked by coder-1").first().waitFor();
    await item(page, /notes\.txt.*Locked by coder-1/).waitFor();
  }
  await one.getByText(new RegExp(`task ${taskId.slice(0, 8)} · ends in 0\\d:\\d\\d`)).waitFor();
  await typeAt(one, 2, " never");
  expect(await line(one, "second never").count()).toBe(0);
  await one.getByRole("button", { name: "Request unlock" }).click();
  await two.getByText("unlock requested").waitFor();
  await clients.locks.releaseLock({ lockId });
  for (const page of [one, two]) await page.getByText("Locked by coder-1").waitFor({ state: "detached" });
  await typeAt(one, 2, " unlocked");
  await one.keyboard.press("Control+s");
  await line(two, "second unlocked").waitFor();
});

test("a lock ends by itself", async () => {
  await clients.locks.acquireLock({ workspaceId, path: "src/notes.txt", agentId: "coder-2", ttlMs: 1_500 });
  await one.getByText("Locked by coder-2").first().waitFor();
  await one.getByText("Locked by coder-2").first().waitFor({ state: "detached" });
});

test("the person pins a lock and takes it off", async () => {
  await inMenu(one, "notes.txt", "Lock");
  await item(two, /notes\.txt.*Locked by you/).waitFor();
  await inMenu(two, "notes.txt", "Unlock");
  await item(one, /Locked by you/).waitFor({ state: "detached" });
});

test("a folder and a copy are made, moved and deleted by keys and menu", async () => {
  await inMenu(one, "notes.txt", "Duplicate");
  await item(one, "notes copy.txt").waitFor();
  await item(one, "notes copy.txt").focus();
  await one.keyboard.press("F2");
  await one.keyboard.press("Control+a");
  await one.keyboard.type("other.txt");
  await one.keyboard.press("Enter");
  await item(two, "other.txt").waitFor();
  await inMenu(one, "src", "New folder");
  await one.getByLabel("Path of the folder").fill("old");
  await one.getByRole("button", { name: "Create folder" }).click();
  await item(one, "other.txt").dragTo(item(one, "old"));
  await item(one, /other\.txt/).and(one.locator('[aria-level="2"]')).waitFor();
  await one.keyboard.press("Home");
  await item(one, "old").focus();
  await one.keyboard.press("Delete");
  const dialog = one.getByRole("dialog", { name: "Delete old?" });
  await dialog.getByText("The folder has 1 file.", { exact: false }).waitFor();
  await dialog.getByRole("button", { name: "Delete old" }).click();
  await item(two, "old").waitFor({ state: "detached" });
});

test("files are uploaded, and one that is there is replaced only when asked", async () => {
  const file = { name: "data.csv", mimeType: "text/csv", buffer: Buffer.from("a,b\n1,2\n") };
  await one.getByLabel("Upload files").last().setInputFiles([file, { name: "raw.bin", mimeType: "", buffer: Buffer.from([0, 1, 2, 255]) }]);
  await one.getByRole("dialog").getByRole("button", { name: "Done" }).click();
  await item(two, /raw\.bin/).waitFor();
  await item(two, "not text").waitFor();
  await one.getByLabel("Upload files").last().setInputFiles([file]);
  const dialog = one.getByRole("dialog");
  await dialog.getByText("Exists here already.").waitFor();
  await dialog.getByRole("button", { name: "Replace" }).click();
  await dialog.getByRole("listitem").filter({ hasText: "Done" }).waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
});

test("a snapshot is made, compared, brought back, and that is undone", async () => {
  await choose(one, "notes.txt");
  await one.keyboard.press("Control+j");
  await panel(one, "Snapshots").click();
  await one.getByLabel("What for? (optional)").fill("before the change");
  await one.getByRole("button", { name: "Make snapshot" }).click();
  await one.getByRole("list", { name: "Snapshots" }).getByText("before the change").waitFor();
  await typeAt(one, 4, " is wrong");
  await one.keyboard.press("Control+s");
  await line(two, "fourth is wrong").waitFor();
  await one.getByRole("button", { name: "Differences to “before the change”" }).click();
  const diff = one.getByRole("dialog", { name: "From “before the change” to now" });
  await diff.getByText("1 file differs.").waitFor();
  await diff.locator(".view-line", { hasText: "fourth is wrong" }).first().waitFor();
  await diff.getByRole("button", { name: "Restore" }).click();
  await one.getByRole("dialog", { name: "Restore “before the change”?" }).getByRole("button", { name: "Restore" }).click();
  for (const page of [one, two]) await line(page, "fourth is wrong").waitFor({ state: "detached" });
  await one.getByRole("button", { name: "Undo" }).click();
  for (const page of [one, two]) await line(page, "fourth is wrong").waitFor();
});

test("the file's timeline compares and restores one version", async () => {
  await panel(one, "Timeline").click();
  const versions = one.getByRole("list", { name: "Versions of notes.txt" });
  await versions.getByText("before the change").waitFor();
  await versions.getByRole("listitem").filter({ hasText: "before the change" }).getByRole("button", { name: "Compare with now" }).click();
  const dialog = one.getByRole("dialog", { name: /notes.txt, .* and now/ });
  await dialog.locator(".view-line", { hasText: "fourth is wrong" }).first().waitFor();
  await dialog.getByRole("button", { name: "Restore this version" }).click();
  for (const page of [one, two]) await line(page, "fourth is wrong").waitFor({ state: "detached" });
});

test("a search finds lines, and a click opens the place", async () => {
  await two.keyboard.press("Control+Shift+F");
  await two.getByRole("searchbox", { name: "Search in files" }).fill("ELSE\\w+");
  await two.getByText(/Nothing found/).waitFor();
  await two.getByRole("button", { name: "Regular expression" }).click();
  const hit = two.getByRole("button", { name: "src/notes.txt, line 3: third from elsewhere" });
  await hit.waitFor();
  await two.getByRole("button", { name: "Match case" }).click();
  await two.getByText(/Nothing found/).waitFor();
  await two.getByRole("button", { name: "Match case" }).click();
  await two.getByLabel("Not in", { exact: false }).fill("*.txt, src/**");
  await two.getByText(/Nothing found/).waitFor();
  await two.getByLabel("Not in", { exact: false }).fill("");
  await hit.click();
  await two.getByRole("contentinfo").getByText("Ln 3, Col 21").waitFor();
});

test("a snapshot becomes a workspace of its own, which is renamed and deleted by its name", async () => {
  await panel(one, "Snapshots").click();
  await one.getByRole("button", { name: "New workspace from “before the change”" }).first().click();
  await one.getByLabel("Name of the workspace").fill(`${name} fork`);
  await one.getByRole("button", { name: "Create workspace" }).click();
  await one.getByRole("button", { name: `Workspace: ${name} fork` }).click();
  await one.getByRole("menuitem", { name: "Rename workspace" }).click();
  await one.getByLabel("Name of the workspace").fill(`${name} branch`);
  await one.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
  await one.getByRole("button", { name: `Workspace: ${name} branch` }).waitFor();
  await item(one, "src").click();
  await item(one, "notes.txt").waitFor();
  await remove(one, `${name} branch`);
});

test("the workspace that is run in is the one of the address", async () => {
  await one.goto(`${server.url}/run?ws=${workspaceId}`);
  await clients.files.writeFile({ workspaceId, path: "hello.py", content: { case: "text", value: 'print("from", 6 * 7)\n' } });
  await one.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Code" }).click();
  await item(one, "hello.py").click();
  await line(one, "print").waitFor();
  await one.keyboard.press("F5");
  await one.getByRole("log", { name: "Output" }).getByText("from 42").waitFor({ timeout: 60_000 });
});

test("the workspace is deleted by its name, and another browser in it is told", async () => {
  await remove(one, name);
  await two.reload();
  await two.getByRole("button", { name: "Go to my workspace" }).click();
  await two.getByRole("button", { name: `Workspace: ${name}` }).waitFor({ state: "detached" });
  expect(complaints.filter((text) => !/40\d|ERR_/.test(text))).toEqual([]);
});

async function remove(page: Page, workspace: string): Promise<void> {
  await page.getByRole("button", { name: `Workspace: ${workspace}` }).click();
  await page.getByRole("menuitem", { name: "Delete workspace" }).click();
  const dialog = page.getByRole("dialog", { name: `Delete ${workspace}?` });
  expect(await dialog.getByRole("button", { name: `Delete ${workspace}` }).isDisabled()).toBe(true);
  await dialog.getByLabel(/To delete it/).fill(workspace);
  await dialog.getByRole("button", { name: `Delete ${workspace}` }).click();
  await page.getByText(`Deleted ${workspace}`).waitFor();
}
