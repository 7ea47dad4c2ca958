// What an admin does, on the running services: people, budgets, keys, usage, and models down to their download.
import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFailed, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";
import { call, reasonOf, tokenOf } from "./calls.ts";
import { startHub, type Hub } from "./hub/main.ts";

const server = inject("server");
const mark = Date.now().toString(36);
const nora = { email: `nora.${mark}@example.org`, name: `Nora ${mark}`, password: "" };
const bundled = "SmolLM2 135M Instruct";
const patient = 90_000;
const words = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor({ timeout: patient });
let browser: Browser;
let hub: Hub | undefined;
let admin: Page;
let dev: Page;
let complaints: string[];
/** What Nora's answers cost by her own screen. */
let spent = 0;

/** Opens a page of Admin anew, so that it shows what the server says now. */
async function visit(section: "Models" | "Users" | "Usage"): Promise<void> {
  await admin.goto(`${server.url}/admin/${section.toLowerCase()}`);
  await admin.getByRole("heading", { name: section, exact: true, level: 2 }).waitFor();
}
async function choose(name: string): Promise<void> {
  await visit("Users");
  await admin.getByRole("searchbox", { name: "Name or e-mail" }).fill(name);
  await admin.locator("table").getByRole("button", { name: new RegExp(name) }).click();
}
async function setLimit(tokens: string): Promise<void> {
  await admin.getByRole("button", { name: "Change limit" }).click();
  const dialog = admin.getByRole("dialog", { name: `Monthly limit for ${nora.name}` });
  await dialog.getByLabel("Tokens a month").fill(tokens);
  await dialog.getByRole("button", { name: "Set limit" }).click();
  await dialog.waitFor({ state: "detached" });
}
/** Nora asks in a new conversation. */
async function ask(text: string): Promise<void> {
  await dev.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Chat" }).click();
  await dev.getByRole("button", { name: "New conversation" }).first().click();
  await dev.getByRole("textbox", { name: "Message" }).fill(text);
  await dev.getByRole("button", { name: "Send", exact: true }).click();
}
/** Waits for the end of her answer and gives what it cost. */
async function answered(): Promise<number> {
  await dev.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: patient });
  const [, prompt = "", answer = ""] = /([\d,]+) in .*?([\d,]+) out/.exec((await dev.getByTestId("cost").last().textContent()) ?? "") ?? [];
  const tokens = Number(prompt.replaceAll(",", "")) + Number(answer.replaceAll(",", ""));
  expect(tokens).toBeGreaterThan(0);
  spent += tokens;
  return tokens;
}
const row = (model: string) => admin.getByRole("row", { name: new RegExp(model) });

// The double has neither sessions that end nor models that weigh anything: this is for the real services.
describe.skipIf(!server.real)("accept_admin", () => {
  beforeAll(async () => {
    hub = server.hub ? await startHub(server.hub) : undefined;
    browser = await launch();
    ({ page: admin, complaints } = await open(browser, server.url, { width: 1440, locale: "en" }));
    ({ page: dev } = await open(browser, server.url, { width: 1440, locale: "en" }));
    for (const page of [admin, dev]) page.setDefaultTimeout(20_000);
  });
  beforeEach(({ task }) => {
    onTestFailed(async () => {
      const name = task.name.replace(/\W+/g, "-");
      await admin.screenshot({ path: `test-results/${name}-admin.png` });
      await dev.screenshot({ path: `test-results/${name}-dev.png` });
    });
  });
  afterAll(async () => {
    hub?.release();
    // Whatever happened, the other journeys find the bundled model as they expect it.
    await call(server.url, "llm.start", { model: "smollm2-135m-instruct" }, await tokenOf(server.url, server.email, server.password));
    await browser.close();
    await hub?.close();
  });

  test("the admin signs in and finds models, users and usage", async () => {
    await signIn(admin, server.url, server.email, server.password);
    await admin.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Admin" }).click();
    const sections = admin.getByRole("navigation", { name: "Admin sections" });
    for (const name of ["Models", "Users", "Usage"]) await sections.getByRole("link", { name }).waitFor();
    await row(bundled).getByText("ready").waitFor({ timeout: patient });
  });

  test("a user is added with a first password and signs in with it", async () => {
    await visit("Users");
    await admin.getByRole("button", { name: "Add user" }).click();
    const dialog = admin.getByRole("dialog", { name: "Add user" });
    await dialog.getByLabel("E-mail").fill(nora.email);
    await dialog.getByLabel("Name").fill(nora.name);
    await dialog.getByRole("button", { name: "Generate password" }).click();
    nora.password = await dialog.getByLabel("First password").inputValue();
    await dialog.getByRole("button", { name: "Add user" }).click();
    await admin.getByRole("button", { name: `Block ${nora.name}` }).waitFor();
    await signIn(dev, server.url, nora.email, nora.password);
    expect(await dev.getByRole("link", { name: "Admin" }).count()).toBe(0);
  });

  test("the same address is not taken twice", async () => {
    await admin.getByRole("button", { name: "Add user" }).click();
    const dialog = admin.getByRole("dialog", { name: "Add user" });
    await dialog.getByLabel("E-mail").fill(nora.email);
    await dialog.getByRole("button", { name: "Generate password" }).click();
    await dialog.getByRole("button", { name: "Add user" }).click();
    await dialog.getByText("This e-mail has an account already.").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
  });

  test("the usage page counts what the user's answer cost", async () => {
    await ask("Say hello in one short sentence.");
    await answered();
    await expect.poll(async () => {
      await visit("Usage");
      return (await admin.getByRole("region", { name: "By user" }).getByRole("row", { name: new RegExp(nora.name) }).locator("td").nth(2).textContent())?.replace(/\D/g, "");
    }, { timeout: patient }).toBe(String(spent));
    const ledger = admin.getByRole("region", { name: "Ledger" }).first();
    await ledger.getByRole("row", { name: new RegExp(`${nora.name}.*smollm2-135m-instruct`) }).first().waitFor();
  });

  test("beyond the monthly limit the user's chat is refused in words", async () => {
    await choose(nora.name);
    await setLimit(String(spent + 3));
    await admin.getByText(`/ ${spent + 3}`).waitFor();
    await ask("Say hello once more.");
    const alert = dev.getByRole("alert");
    await alert.getByText(/^Your \w+ budget is used up\.$/).waitFor();
    await alert.getByText(`${spent} of ${spent + 3} tokens. The request cost nothing.`, { exact: false }).waitFor();
    await alert.getByText("An admin can grant tokens.").waitFor();
  });

  test("granted tokens let the user go on", async () => {
    await admin.getByRole("button", { name: "Grant tokens" }).click();
    const dialog = admin.getByRole("dialog", { name: `Grant tokens to ${nora.name}` });
    await dialog.getByLabel("Tokens").fill("50000");
    await dialog.getByRole("button", { name: "Grant tokens" }).click();
    await words(admin, `Granted 50,000 tokens to ${nora.name}`);
    await dev.getByRole("alert").getByRole("button", { name: "Try again" }).click();
    await answered();
  });

  test("a block ends the user's session at once and refuses the sign-in", async () => {
    await admin.getByRole("button", { name: `Block ${nora.name}` }).click();
    await admin.getByRole("dialog", { name: `Block ${nora.name}?` }).getByRole("button", { name: `Block ${nora.name}` }).click();
    await admin.getByRole("button", { name: `Unblock ${nora.name}` }).waitFor();
    await dev.getByRole("heading", { name: "Sign in" }).waitFor();
    await dev.getByText("This account is blocked. Ask an admin for help.").waitFor();
    await dev.getByLabel("E-mail").fill(nora.email);
    await dev.locator("#password").fill(nora.password);
    const refused = dev.waitForResponse(/\/Login$/);
    await dev.getByRole("button", { name: "Sign in" }).click();
    await refused;
    await dev.getByText("This account is blocked. Ask an admin for help.").waitFor();
  });

  test("an unblocked user signs in again", async () => {
    await admin.getByRole("button", { name: `Unblock ${nora.name}` }).click();
    await admin.getByRole("button", { name: `Block ${nora.name}` }).waitFor();
    await signIn(dev, server.url, nora.email, nora.password);
  });

  test("a key made for the user calls over HTTP until it is revoked", async () => {
    await admin.getByRole("button", { name: "New key" }).click();
    const dialog = admin.getByRole("dialog");
    await dialog.getByLabel("Name").fill("CI");
    await dialog.getByRole("button", { name: "Create key" }).click();
    const key = (await admin.getByTestId("new-key").textContent()) ?? "";
    await dialog.getByRole("button", { name: "Done" }).click();
    const before = await call(server.url, "user.me", {}, key);
    expect([before.status, (before.json["user"] as { email: string }).email]).toEqual([200, nora.email]);
    await admin.getByRole("button", { name: "Revoke CI" }).click();
    await admin.getByRole("dialog", { name: /Revoke key dsk_\w+ \(CI\)\?/ }).getByRole("button", { name: "Revoke" }).click();
    await admin.getByText("revoked", { exact: true }).waitFor();
    const after = await call(server.url, "user.me", {}, key);
    expect([after.status, reasonOf(after)]).toEqual([401, "KEY_REVOKED"]);
  });

  test("a stopped model answers no more, and a started one does", async () => {
    await visit("Models");
    await row(bundled).getByRole("button", { name: `Stop ${bundled}` }).click();
    await row(bundled).getByText("stopped").waitFor({ timeout: patient });
    await ask("Are you there?");
    await dev.getByRole("alert").getByText(/is not loaded\.$/).waitFor();
    await row(bundled).getByRole("button", { name: `Start ${bundled}` }).click();
    await row(bundled).getByText("ready").waitFor({ timeout: patient });
    await dev.getByRole("alert").getByRole("button", { name: "Try again" }).click();
    await answered();
  });

  describe.skipIf(!server.hub)("with a hub", () => {
    test("a download shows how far it is, and a cancelled one leaves nothing", async () => {
      hub?.hold();
      await visit("Models");
      await row("Tiny").getByText("not downloaded").waitFor();
      await row("Tiny").getByRole("button", { name: "Download Tiny" }).click();
      const bar = row("Tiny").getByRole("progressbar", { name: "Downloading tiny" });
      await bar.and(admin.locator("[aria-valuenow='50']")).waitFor();
      await row("Tiny").getByText(/^50% · .+\/s/).waitFor();
      await row("Tiny").getByRole("button", { name: "Cancel Tiny" }).click();
      await row("Tiny").getByText("not downloaded").waitFor();
    });

    test("a downloaded model is started, answers the user, and is stopped", async () => {
      await row("Tiny").getByRole("button", { name: "Download Tiny" }).click();
      await row("Tiny").getByRole("progressbar").and(admin.locator("[aria-valuenow='50']")).waitFor();
      hub?.release();
      await row("Tiny").getByRole("button", { name: "Start Tiny" }).click();
      await row("Tiny").getByText("ready").waitFor({ timeout: patient });
      await dev.reload();
      await dev.getByRole("combobox", { name: "Model" }).click();
      await dev.getByRole("option", { name: /^Tiny/ }).click();
      await ask("hi");
      await dev.getByRole("article", { name: "Answer from tiny" }).waitFor({ timeout: patient });
      await answered();
      await row("Tiny").getByRole("button", { name: "Stop Tiny" }).click();
      await row("Tiny").getByText("stopped").waitFor({ timeout: patient });
    });
  });

  test("nothing came from elsewhere, and no page complained", () => {
    expect(complaints.filter((c) => !/40\d|ERR_/.test(c))).toEqual([]);
  });
});
