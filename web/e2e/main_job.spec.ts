// The main job: ask the model, insert its code, save, run, see the output and the tokens.
import { afterAll, beforeAll, beforeEach, expect, inject, onTestFailed, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";

const server = inject("server");
const name = `job_${Date.now().toString(36)}.py`;
const patient = server.real ? 90_000 : 20_000;
let browser: Browser;
let page: Page;
let complaints: string[];

beforeAll(async () => {
  browser = await launch();
  ({ page, complaints } = await open(browser, server.url, { width: 1440, locale: "en" }));
  page.setDefaultTimeout(20_000);
});
beforeEach(({ task }) => {
  onTestFailed(async () => { await page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-")}.png` }); });
});
afterAll(() => browser.close());
const tab = (label: string) => page.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: label });

test("a wrong password is refused in one sentence", async () => {
  await page.goto(server.url);
  await page.getByLabel("E-mail").fill(server.email);
  await page.locator("#password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("E-mail or password is wrong.").waitFor();
});

test("the person signs in", async () => {
  await signIn(page, server.url, server.email, server.password);
  await page.getByRole("button", { name: /Budget:/ }).waitFor();
  await page.getByText(/^Connected/).waitFor();
});

test("the model answers token by token", async () => {
  await tab("Chat").click();
  await page.getByRole("textbox", { name: "Message" }).fill("Write a Python function is_even(n) that tells whether a number is even. Answer with one Python code block.");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
  await page.getByTestId("cost").filter({ hasText: /tokens?/ }).waitFor({ timeout: patient });
  await page.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: patient });
  expect(await page.getByTestId("cost").last().textContent()).toMatch(/\d+ in .*\d+ out .*tokens\/s/);
});

test("its code goes into a new file of the editor", async () => {
  const insert = page.getByRole("button", { name: "Insert into editor" }).first();
  if ((await insert.count()) === 0) {
    // A very small model may answer without a code block: the job goes on with a file of one's own.
    await tab("Code").click();
    await page.keyboard.press("Control+Alt+n");
  } else await insert.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Path of the file").fill(name);
  await dialog.getByRole("button", { name: "Create file" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first().waitFor({ state: "attached" });
  expect(page.url()).toContain(`path=${name}`);
});

test("the person completes and saves it", async () => {
  await page.getByRole("button", { name, exact: true }).first().waitFor();
  await page.locator(".monaco-editor .view-line").first().click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText('is_even = lambda n: n % 2 == 0\nprint("even:", [n for n in range(6) if is_even(n)])\n');
  await page.keyboard.press("Control+s");
  await page.getByText(/Saved, version \d/).first().waitFor();
});

test("it runs, and its output comes", async () => {
  await page.keyboard.press("F5");
  const output = page.getByRole("log", { name: "Output" });
  await output.getByText("even: [0, 2, 4]").waitFor({ timeout: patient });
  await page.getByText("exit 0").first().waitFor();
});

test("the run stands in the Run tab with its isolation", async () => {
  await page.getByRole("button", { name: "Open run" }).click();
  await page.getByRole("log", { name: "Output" }).getByText("even: [0, 2, 4]").waitFor();
  expect(page.url()).toMatch(/\/run\/[0-9a-f-]{36}/);
  await page.getByRole("navigation", { name: "History" }).getByText(name).first().waitFor();
});

test("the output stands in the logs", async () => {
  await tab("Logs").click();
  await page.getByRole("log", { name: "Lines of the log" }).getByText("even: [0, 2, 4]").first().waitFor({ timeout: patient });
});

test("the tokens stand on the ledger", async () => {
  await page.getByRole("button", { name: /^Menu of/ }).click();
  await page.getByRole("menuitem", { name: "Usage and keys" }).click();
  const ledger = page.getByRole("region", { name: "Ledger" }).locator("tbody tr").first();
  await ledger.waitFor();
  const [prompt, answer] = await Promise.all([ledger.locator("td").nth(3).textContent(), ledger.locator("td").nth(4).textContent()]);
  expect(Number(prompt?.replace(/\D/g, ""))).toBeGreaterThan(0);
  expect(Number(answer?.replace(/\D/g, ""))).toBeGreaterThan(0);
});

test("the session goes on after a reload, and nothing came from elsewhere", async () => {
  await page.goto(`${server.url}/code?path=${name}`);
  await page.getByRole("button", { name, exact: true }).first().waitFor();
  expect(complaints.filter((c) => c.startsWith("outside request") || /Content.Security/i.test(c))).toEqual([]);
});

test("the file is deleted by its name", async () => {
  const item = page.getByRole("treeitem", { name: new RegExp(name.replace(".", "\\.")) });
  await item.focus();
  await page.keyboard.press("Delete");
  await page.getByRole("dialog").getByRole("button", { name: `Delete ${name}` }).click();
  await item.waitFor({ state: "detached" });
});

test("signing out ends the session", async () => {
  await page.getByRole("button", { name: /^Menu of/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
