// Pictures of agents: setting workspaces up, and tasks from their first word to their end.
import type { Page } from "playwright-core";
import { clientsOf } from "../clients.ts";
import { settled, type Scene } from "./steps.ts";

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

export const build: Record<string, Scene> = {
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
    await page.getByRole("textbox", { name: /^(Your answer|Deine Antwort)$/ }).waitFor();
  },
  "build-approval": async (page) => {
    await giveTask(page, "Write add.py.", /^(Ask first|Erst fragen)/);
    await page.getByRole("button", { name: /^(Allow|Erlauben)$/ }).waitFor();
  },
};
