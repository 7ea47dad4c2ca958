// Pictures of runs and terminals.
import type { Page } from "playwright-core";
import { clientsOf } from "../clients.ts";
import type { Stage } from "../stage.ts";
import { button, settled, type Scene } from "./steps.ts";

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

export const programs: Record<string, Scene> = {
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
};
