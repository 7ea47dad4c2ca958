// A new workspace by hand: a template that is looked at, written and checked, kept as one's own; and a plan of the model.
import type { Page } from "playwright-core";
import { describe, expect, inject, test } from "vitest";
import { faults, settled, views } from "./axe.ts";
import type { View } from "./browser.ts";
import { clientsOf } from "./clients.ts";
import { visits } from "./visit.ts";

const server = inject("server");
const stamp = Date.now().toString(36);
const visit = visits(server, 30_000);
let page: Page;
let complaints: string[] = [];

async function enter(view: View): Promise<void> {
  ({ page, complaints } = await visit(view));
}

describe.skipIf(!server.real)("a new workspace", () => {
  test("is set up by a template: shown, chosen, written, checked, kept, and taken back", async () => {
    await enter({ width: 1280, locale: "en" });
    const name = `Words ${stamp}`;
    await page.getByRole("button", { name: /^Workspace:/ }).click();
    await page.getByRole("menuitem", { name: "New workspace" }).click();
    await page.getByLabel("Name of the workspace").fill(name);
    await page.getByRole("button", { name: "Create workspace" }).click();
    await page.waitForURL(/\/setup\?ws=/);
    await page.getByText("No files yet.").waitFor();
    await page.getByRole("button", { name: "Use Python command line" }).click();
    await page.waitForURL(/plan=/);
    await page.getByText("Nothing is written yet.", { exact: false }).waitFor();
    await page.getByText("def greeting(name: str").waitFor();
    const workspaceId = new URL(page.url()).searchParams.get("ws") ?? "";
    const clients = await clientsOf(server.url, server.email, server.password);
    const paths = async () => (await clients.files.listFiles({ workspaceId })).entries.map((entry) => entry.path).toSorted();
    expect(await paths()).toEqual([]);
    await page.getByRole("button", { name: "Write 2 files and check" }).click();
    await page.getByRole("main").getByText("Checked", { exact: true }).waitFor();
    await page.getByText("HELLO, WORLD.").waitFor();
    expect(await paths()).toEqual(["main.py", "test_main.py"]);
    await page.getByRole("button", { name: "Keep as a template" }).click();
    await page.getByLabel("Name of the template").fill(name);
    await page.getByRole("dialog").getByRole("button", { name: "Keep as a template" }).click();
    await page.getByText(`${name} is a template.`).waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Back to before" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Back to before" }).click();
    await expect.poll(paths).toEqual([]);
    await page.getByRole("button", { name: "Choose anew" }).click();
    const own = page.getByRole("listitem").filter({ hasText: name });
    await own.getByText("version 1").waitFor();
    await own.getByRole("button", { name: `Delete ${name}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: `Delete ${name}` }).click();
    await own.waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
  });

  test("is planned by the model from a wish, which can be stopped", async () => {
    await enter({ width: 1280, locale: "de" });
    const clients = await clientsOf(server.url, server.email, server.password);
    const { workspaceId } = await clients.files.createWorkspace({ name: `Wunsch ${stamp}` });
    await page.goto(`${server.url}/setup?ws=${workspaceId}`);
    const wish = page.getByRole("textbox", { name: "Dein Wunsch" });
    await wish.fill("ein Python-Programm, das Wörter zählt");
    await page.getByRole("button", { name: "Planen lassen" }).click();
    await page.getByRole("region", { name: "Das Modell plant" }).waitFor();
    await page.getByRole("button", { name: "Anhalten" }).click();
    await page.getByRole("button", { name: "Planen lassen" }).click();
    await page.waitForURL(/plan=/, { timeout: 90_000 });
    await page.getByText("Noch ist nichts geschrieben.", { exact: false }).waitFor();
    const boxes = page.getByRole("checkbox");
    for (let i = 0; i < (await boxes.count()); i += 1) await boxes.nth(i).uncheck();
    expect(await page.getByRole("button", { name: /schreiben und prüfen/ }).isDisabled()).toBe(true);
    expect((await clients.files.listFiles({ workspaceId })).entries).toEqual([]);
    expect(complaints).toEqual([]);
  });

  for (const view of views)
    test(`has no faults of accessibility and fits the window (${view.theme}, ${view.width})`, async () => {
      await enter(view);
      const clients = await clientsOf(server.url, server.email, server.password);
      const { workspaceId } = await clients.files.createWorkspace({ name: `Fits ${view.width}${view.theme} ${stamp}` });
      await page.goto(`${server.url}/setup?ws=${workspaceId}`);
      await page.getByRole("button", { name: /Shell-Skript|Shell script/ }).waitFor();
      await settled(page);
      expect(await faults(page, "choose")).toEqual([]);
      await page.getByRole("button", { name: /Shell-Skript|Shell script/ }).click();
      await page.waitForURL(/plan=/);
      await page.getByRole("checkbox").first().waitFor();
      await settled(page);
      expect(await faults(page, "plan")).toEqual([]);
      await page.getByRole("button", { name: /schreiben und prüfen|and check/ }).click();
      await page.getByRole("main").getByText(/^(Geprüft|Checked)$/).waitFor();
      await settled(page);
      expect(await faults(page, "checked")).toEqual([]);
    });
});
