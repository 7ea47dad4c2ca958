// Tasks of agents by hand, on real services whose model follows a script, or on the double; both languages, keyboard, axe.
import type { Page } from "playwright-core";
import { describe, expect, inject, test } from "vitest";
import { faults, settled, views } from "./axe.ts";
import type { View } from "./browser.ts";
import { clientsOf } from "./clients.ts";
import { visits } from "./visit.ts";

const server = inject("server");
const visit = visits(server, 20_000);
let page: Page;
let complaints: string[] = [];

async function enter(view: View): Promise<void> {
  ({ page, complaints } = await visit(view));
  await page.goto(`${server.url}/chat`);
  await page.getByRole("radio", { name: /^(Build|Bauen)$/ }).click();
}
const timeline = () => page.getByRole("log", { name: /^(What happens|Was geschieht)$/ });
async function give(prompt: string, policy?: RegExp): Promise<void> {
  await page.getByRole("textbox", { name: /^(Task|Aufgabe)$/ }).fill(prompt);
  if (policy) {
    await page.getByRole("combobox", { name: /^(What agents may do|Was Agenten dürfen)$/ }).click();
    await page.getByRole("option", { name: policy }).click();
  }
  await page.getByRole("button", { name: /^(Give the task|Aufgabe geben)$/ }).click();
  await page.waitForURL(/\/chat\/[0-9a-f-]{36}/);
}
const ended = (word: string) => page.getByRole("region", { name: /^(How it ended|Wie es ausging)$/ }).getByText(word, { exact: true }).waitFor();

describe.skipIf(server.real && !server.scripted)("a task of agents", () => {
  for (const locale of ["en", "de"] as const)
    test(`goes from its plan over a failing test to its end, and stays after a reload (${locale})`, async () => {
      await enter({ width: 1280, locale });
      await give(locale === "en" ? "Write add.py and test it." : "Schreibe add.py und teste es.");
      await page.getByRole("region", { name: "Plan" }).getByText("Test it.").waitFor();
      await timeline().getByText("AssertionError: -1").first().waitFor();
      await ended(locale === "en" ? "Done" : "Fertig");
      await expect.poll(() => timeline().getByRole("article").count()).toBe(8);
      await timeline().getByText("return a + b").first().waitFor();
      await page.reload();
      await ended(locale === "en" ? "Done" : "Fertig");
      await expect.poll(() => timeline().getByRole("article").count()).toBe(8);
      await page.getByRole("navigation", { name: /^(Tasks|Aufgaben)$/ }).getByRole("button", { name: /add\.py/ }).first().waitFor();
      expect(complaints).toEqual([]);
    });

  test("asks a question, takes the answer, and goes on", async () => {
    await enter({ width: 1280, locale: "en" });
    await give("Write add.py; there is a question.");
    await page.getByRole("region", { name: "It waits for you" }).getByText("Which language shall I use?").waitFor();
    await page.getByRole("textbox", { name: "Your answer" }).fill("Python");
    await page.keyboard.press("Enter");
    await timeline().getByText("Python").first().waitFor();
    await ended("Done");
  });

  test("shows what it would change before it may, and does not where it is forbidden", async () => {
    await enter({ width: 1280, locale: "en" });
    await give("Write add.py.", /^Ask first/);
    const waits = page.getByRole("region", { name: "It waits for you" });
    if (server.scripted) {
      await waits.getByText("May it follow this plan?").waitFor();
      await waits.getByRole("button", { name: "Allow" }).click();
    }
    await waits.getByText("May it do this? Writes add.py").waitFor();
    await waits.getByText("return a - b").first().waitFor();
    await waits.getByRole("textbox").fill("not this file");
    await waits.getByRole("button", { name: "Forbid" }).click();
    await timeline().getByText("You forbade it.").waitFor();
    await ended("Failed");
  });

  test("is cancelled at once, and says so in the list", async () => {
    await enter({ width: 1280, locale: "en" });
    await give("Write add.py slowly.");
    await page.getByRole("button", { name: "Cancel the task" }).click();
    await ended("Cancelled");
    await page.getByRole("navigation", { name: "Tasks" }).getByRole("button", { name: /slowly.*Cancelled/s }).first().waitFor();
  });

  test("works on a phone, and by keyboard alone", async () => {
    await enter({ width: 390, locale: "de" });
    await page.getByRole("textbox", { name: "Aufgabe" }).focus();
    await page.keyboard.type("Schreibe add.py.");
    await page.keyboard.press("Enter");
    await ended("Fertig");
    await page.getByRole("button", { name: "Aufgaben", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: /add\.py/ }).first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide).toBe(0);
  });

  for (const view of views)
    test(`has no faults of accessibility while it waits and when it has ended (${view.theme}, ${view.width})`, async () => {
      await enter({ ...view, locale: "en" });
      await give("Write add.py; there is a question.");
      await page.getByRole("textbox", { name: "Your answer" }).waitFor();
      await settled(page);
      expect(await faults(page, "a task")).toEqual([]);
      await page.getByRole("textbox", { name: "Your answer" }).fill("Python");
      await page.getByRole("button", { name: "Send the answer" }).click();
      await ended("Done");
      await settled(page);
      expect(await faults(page, "a task")).toEqual([]);
    });

  test.skipIf(!server.scripted)("is reviewed place by place when it has ended, with what the model saw", async () => {
    await enter({ width: 1280, locale: "en" });
    const { files } = await clientsOf(server.url, server.email, server.password);
    const text = async () => (await files.readFile({ path: "add.py" }).catch(() => null))?.content.value ?? null;
    const good = "def add(a, b):\n    return a + b\n";
    await files.deletePath({ path: "add.py" });
    await give("Write add.py and test it.");
    await ended("Done");
    await timeline().getByText(/^Saw 1 file · /).first().click();
    await timeline().getByText("named in the task").first().waitFor();
    const dialog = page.getByRole("dialog");
    const review = () => page.getByRole("button", { name: "Review the changes" }).click();
    // A file that came goes as a whole, and comes back.
    await review();
    await dialog.getByRole("button", { name: "Take add.py back" }).click();
    await expect.poll(text).toBe(null);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(text).toBe(good);
    // A file that changed is decided about place by place.
    await files.writeFile({ path: "add.py", content: { case: "text", value: "def add(a, b):\n    return 0\n" } });
    await page.getByRole("button", { name: "New task" }).first().click();
    await give("Write add.py anew and test it.");
    await ended("Done");
    await review();
    await dialog.getByRole("button", { name: "Take back change 1" }).click();
    await expect.poll(text).toBe("def add(a, b):\n    return 0\n");
    await dialog.getByRole("button", { name: "Undo the decision on change 1" }).click();
    await expect.poll(text).toBe(good);
    expect(complaints.filter((c) => !/404/.test(c))).toEqual([]);
  });

  test.skipIf(!server.scripted)("has its words bettered, shows what changed, and gives the person's back", async () => {
    await enter({ width: 1280, locale: "de" });
    const task = page.getByRole("textbox", { name: "Aufgabe" });
    await task.fill("mach add.py");
    await page.getByRole("button", { name: "Zeigen, was das Modell sieht" }).click();
    await page.getByRole("region", { name: "Was das Modell sieht" }).getByText("in der Aufgabe genannt").waitFor();
    await page.getByRole("button", { name: "Aufgabe besser formulieren" }).click();
    const note = page.getByRole("region", { name: "Das Modell hat die Aufgabe neu formuliert." });
    await note.waitFor();
    expect(await task.inputValue()).toContain("add(2, 3) is 5");
    await settled(page);
    expect(await faults(page, "bettered")).toEqual([]);
    await note.getByRole("button", { name: "Meine Worte zurück" }).click();
    expect(await task.inputValue()).toBe("mach add.py");
    expect(complaints).toEqual([]);
  });

  test("is begun from the editor on what is selected, and given by the person only", async () => {
    if (server.scripted) {
      const { files } = await clientsOf(server.url, server.email, server.password);
      await files.writeFile({ path: "src/primes.py", content: { case: "text", value: "def primes():\n    return [2, 3, 5]\n" } });
    }
    await enter({ width: 1280, locale: "en" });
    await page.goto(`${server.url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    await page.locator(".monaco-editor .view-line").first().click();
    await page.keyboard.press("Home");
    await page.keyboard.press("Shift+End");
    await page.keyboard.press("F1");
    await page.keyboard.type("Fix with an agent");
    await page.keyboard.press("Enter");
    const task = page.getByRole("textbox", { name: "Task" });
    await task.waitFor();
    const text = await task.inputValue();
    expect(text).toContain("Find and fix the fault in src/primes.py.");
    expect(text).toContain("```");
    await page.getByRole("combobox", { name: "Kind of task" }).getByText("Fix a fault").waitFor();
    await page.getByRole("list", { name: "Files to look at first" }).getByText("src/primes.py").waitFor();
    await page.getByRole("button", { name: "Leave out src/primes.py" }).click();
    expect(await page.getByRole("navigation", { name: "Tasks" }).getByRole("button", { name: /Find and fix/ }).count()).toBe(0);
    await page.goto(`${server.url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().click();
    await page.keyboard.press("F1");
    await page.keyboard.type("Explain");
    await page.keyboard.press("Enter");
    const message = page.getByRole("textbox", { name: "Message" });
    await message.waitFor();
    expect(await message.inputValue()).toContain("Explain this code of src/primes.py:");
  });

  test("are changed by an admin, who is told when somebody else did meanwhile", async () => {
    await enter({ width: 1280, locale: "en" });
    await page.goto(`${server.url}/admin/agents`);
    const change = async (about: string) => {
      await page.getByRole("button", { name: "Change Coder" }).click();
      await page.getByRole("textbox", { name: "What it is for" }).fill(about);
    };
    await change("Writes good code.");
    await page.getByRole("checkbox", { name: "search" }).check();
    await page.getByRole("dialog").getByRole("button", { name: "Change", exact: true }).click();
    await page.getByText("Writes good code.").waitFor();
    await page.getByText("search", { exact: true }).first().waitFor();
    await settled(page);
    expect(await faults(page, "agents")).toEqual([]);
    await change("Too late.");
    const { agents } = await clientsOf(server.url, server.email, server.password);
    const coder = (await agents.listAgents({})).agents.find((agent) => agent.agentId === "coder");
    if (!coder) throw new Error("no coder");
    await agents.updateAgent({ agent: coder });
    await page.getByRole("dialog").getByRole("button", { name: "Change", exact: true }).click();
    await page.getByRole("dialog").getByRole("alert").waitFor();
  });
});
