// The Run tab's talk with programs, on the server or the double: input while they run, problems with their places,
// two outputs beside each other, ports.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { faults, settled, views } from "./axe.ts";
import { launch, open, signIn, type View } from "./browser.ts";
import { clientsOf } from "./clients.ts";

const server = inject("server");
let browser: Browser;
let page: Page;
let clients: Awaited<ReturnType<typeof clientsOf>>;
let workspaceId = "";
let leave: () => Promise<void>;

beforeAll(async () => {
  browser = await launch();
  clients = await clientsOf(server.url, server.email, server.password);
  ({ workspaceId } = await clients.files.createWorkspace({ name: `Run ${Date.now().toString(36)}` }));
  await clients.files.writeFile({ workspaceId, path: "src/shop.py", content: { case: "text", value: "def price(value):\n    return value * rate\n\n\nprint(price(2.5))\n" } });
});
afterAll(async () => {
  await clients.files.deleteWorkspace({ workspaceId });
  await browser.close();
});
beforeEach(() => enter({ width: 1440, locale: "en" }));
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") await page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-").slice(0, 80)}.png` });
  await leave();
});
async function enter(view: View): Promise<void> {
  const opened = await open(browser, server.url, { ...view, reducedMotion: true });
  page = opened.page;
  leave = () => opened.context.close();
  page.setDefaultTimeout(20_000);
  await signIn(page, server.url, server.email, server.password);
  await page.goto(`${server.url}/run?ws=${workspaceId}`);
  await page.locator("main button[aria-pressed]").first().waitFor();
}
const form = () => page.getByRole("region", { name: /^(New run|Neuer Lauf)$/ });
const output = () => page.getByRole("log", { name: /^(Output|Ausgabe)$/ });
/** Waits until the run that is shown has ended so; the history tells the same of older ones. */
const ended = (how: string) => page.getByRole("region", { name: /^(Result|Ergebnis)$/ }).getByText(how, { exact: true }).first().waitFor();
async function runCode(code: string): Promise<void> {
  await page.getByRole("textbox", { name: "Code" }).fill(code);
  await form().getByRole("button", { name: /^(Run|Ausführen)$/ }).click();
}

describe("a run", () => {
  test("offers the runtimes that the server lists", async () => {
    await page.getByRole("combobox", { name: "Runtime" }).click();
    for (const name of ["python", "node", "bash"]) await page.getByRole("option", { name: new RegExp(`^${name} \\d`) }).waitFor();
    await page.getByRole("option", { name: /^bash \d/ }).click();
    await runCode("echo from bash-$((40+2))");
    await output().getByText("from bash-42").waitFor();
  });

  test("whose input is kept open reads what the person writes, until its end", async () => {
    await page.getByRole("switch", { name: "Keep input open" }).click();
    await runCode('import sys\nprint("name?", flush=True)\nprint("hello", sys.stdin.readline().strip(), flush=True)\nprint("rest", len(sys.stdin.read()), flush=True)');
    await output().getByText("name?").waitFor();
    const line = page.getByRole("textbox", { name: "Line for the program" });
    await line.fill("Ada");
    await page.keyboard.press("Enter");
    await output().getByText("hello Ada").waitFor();
    await line.fill("four");
    await page.getByRole("button", { name: "Send line" }).click();
    await page.getByRole("button", { name: "Close input (EOF)" }).click();
    await output().getByText("rest 5").waitFor();
    await ended("exit 0");
    await line.waitFor({ state: "detached" });
  });

  test("whose line comes in pieces has it as one in the logs", async () => {
    await page.getByRole("switch", { name: "Keep input open" }).click();
    await runCode('import sys\nsys.stdout.write("one half")\nsys.stdout.flush()\nsys.stdin.readline()\nprint(" and the other")');
    await output().getByText("one half").waitFor();
    await page.getByRole("textbox", { name: "Line for the program" }).press("Enter");
    await ended("exit 0");
    await page.getByRole("navigation", { name: "Tabs" }).getByRole("link", { name: "Logs" }).click();
    await page.getByRole("log", { name: "Lines of the log" }).getByText("one half and the other").waitFor();
  });

  test("that writes more lines than the log fetches at first has the others there when one goes up", async () => {
    const word = `older${Date.now().toString(36)}`;
    // A run writes at most a thousand lines into the log.
    for (const from of [1, 801, 1_601, 2_401]) {
      await page.goto(`${server.url}/run?ws=${workspaceId}`);
      await runCode(`for n in range(${from}, ${from + 800}):\n    print("${word}", n)`);
      await ended("exit 0");
    }
    await page.goto(`${server.url}/logs?text=${word}`);
    const list = page.getByRole("log", { name: "Lines of the log" });
    const line = (number: number) => list.getByText(new RegExp(`^${word} ${number}(?!\\d)`)).first();
    await line(3_200).waitFor();
    await page.getByText("2,000 held").waitFor();
    await list.focus();
    await page.keyboard.press("Home");
    // What was in sight stays in sight when the page before it has come.
    await page.getByText("3,000 held").waitFor();
    await line(1_201).waitFor();
    await page.keyboard.press("Home");
    await page.getByText("3,200 held").waitFor();
    await expect.poll(async () => {
      await page.keyboard.press("Home");
      return line(1).isVisible();
    }).toBe(true);
    // What came before is not new.
    await page.getByRole("button", { name: "To the end" }).waitFor();
    await page.keyboard.press("End");
    await line(3_200).waitFor();
  });

  test("that fails names the place, and a click leads there", async () => {
    await page.getByRole("radio", { name: "File" }).click();
    await page.getByRole("combobox", { name: "File" }).click();
    await page.getByRole("option", { name: "src/shop.py" }).click();
    await form().getByRole("button", { name: "Run", exact: true }).click();
    await ended("exit 1");
    await page.getByRole("tab", { name: /^Problems ?1$/ }).waitFor();
    await page.getByRole("button", { name: /^Error in src\/shop\.py, line 2: NameError/ }).click();
    await page.waitForURL(/\/code.*path=src%2Fshop\.py/);
    await page.getByRole("contentinfo").getByText("Ln 2, Col 1").waitFor();
  });

  test("is compared with another one by their outputs", async () => {
    for (const word of ["first", "second"]) {
      await runCode(`for n in range(20):\n    print("line", n)\nprint("the ${word}")`);
      await output().getByText(`the ${word}`).waitFor();
      await ended("exit 0");
      await page.goto(`${server.url}/run?ws=${workspaceId}`);
    }
    const history = page.getByRole("navigation", { name: "History" });
    await history.getByRole("link").first().focus();
    await page.keyboard.press("Space");
    await history.getByRole("checkbox").nth(1).click();
    await history.getByRole("button", { name: "Compare (2/2)" }).click();
    const dialog = page.getByRole("dialog", { name: "Compare outputs" });
    await dialog.getByText("Lines added: 1, removed: 1").waitFor();
    expect(await dialog.locator("del").textContent()).toContain("the first");
    expect(await dialog.locator("ins").textContent()).toContain("the second");
    await dialog.getByText("Equal lines: 17").waitFor();
  });

  test("is compared by its bytes where it does not write text", async () => {
    for (const last of ["\\xfe", "\\xfe", "\\xfd"]) {
      await runCode(`import sys\nsys.stdout.buffer.write(b"\\xff${last}")`);
      await ended("exit 0");
      await page.getByText("2 B of the output are not text.").waitFor();
      await page.goto(`${server.url}/run?ws=${workspaceId}`);
    }
    const history = page.getByRole("navigation", { name: "History" });
    const dialog = page.getByRole("dialog", { name: "Compare outputs" });
    await history.getByRole("link").first().focus();
    await page.keyboard.press("Space");
    await history.getByRole("checkbox").nth(1).click();
    await history.getByRole("button", { name: "Compare (2/2)" }).click();
    await dialog.getByText("The outputs differ.", { exact: false }).waitFor();
    await expect.poll(() => dialog.getByText("2 B of the output are not text.").count()).toBe(2);
    await page.keyboard.press("Escape");
    await history.getByRole("checkbox").first().click();
    await history.getByRole("checkbox").nth(2).click();
    await history.getByRole("button", { name: "Compare (2/2)" }).click();
    await dialog.getByText("Both outputs are equal.").waitFor();
  });

  test("of very many lines says how many are not shown, while it is new and later", async () => {
    await runCode("for n in range(25_000):\n    print(n)");
    await ended("exit 0");
    await output().getByText("24999", { exact: true }).waitFor();
    await page.getByText(/^Lines at the beginning that are not shown: 5,00\d$/).waitFor();
    // What stands above and below it when the run ends takes nothing of its end.
    await page.getByRole("tablist").waitFor();
    const below = () => output().evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
    await expect.poll(below).toBeLessThanOrEqual(1);
    // Who has gone up stays there.
    await output().hover();
    await page.mouse.wheel(0, -2_000);
    await expect.poll(below).toBeGreaterThan(1_000);
    await page.setViewportSize({ width: 1440, height: 700 });
    expect(await below()).toBeGreaterThan(1_000);
    await page.getByRole("navigation", { name: "History" }).getByRole("link").first().click();
    await page.reload();
    await page.getByText("Lines at the beginning that are not shown: 5,000").waitFor();
    await output().getByText("24999", { exact: true }).waitFor();
  });

  test("that opens a port has a chip for it, as long as it runs", async () => {
    await page.getByLabel("Time limit", { exact: false }).fill("60");
    await runCode("import http.server, functools\nprint('Serving HTTP on 0.0.0.0 port 8123', flush=True)\nhttp.server.HTTPServer(('', 8123), http.server.SimpleHTTPRequestHandler).serve_forever()");
    const chip = page.getByRole("button", { name: "Open port 8123" });
    await chip.waitFor();
    await form().getByRole("button", { name: "Stop" }).click();
    await chip.waitFor({ state: "detached" });
  });
});

test.each(views)("axe finds nothing serious in the Run tab's new parts ($width, $theme)", async (view) => {
  await leave();
  await enter(view);
  const phone = view.width < 768;
  const found: string[] = [];
  const check = async (name: string) => {
    await settled(page);
    found.push(...await faults(page, name));
  };
  if (phone) await page.locator("summary").filter({ hasText: /^(Eingabe|Input)/ }).click();
  await page.getByRole("switch").click();
  await runCode("import sys\nprint(sys.stdin.readline(), flush=True)\nint('x')");
  const line = page.getByRole("textbox", { name: /^(Zeile an das Programm|Line for the program)$/ });
  await line.waitFor();
  await check("input line");
  await line.fill("x");
  await page.keyboard.press("Enter");
  await ended("exit 1");
  await check("problems");
  if (view.width < 1180) await page.getByRole("button", { name: /^(Verlauf|History)$/ }).first().click();
  await page.getByRole("button", { name: /^(Vergleichen|Compare)/ }).click();
  for (const i of [0, 1]) await page.getByRole("checkbox").nth(i).click();
  await check("history with a choice");
  await page.getByRole("button", { name: /^(Vergleichen|Compare)/ }).click();
  await page.getByRole("dialog", { name: /^(Ausgaben vergleichen|Compare outputs)$/ }).getByRole("status").waitFor();
  await check("comparison");
  expect(found).toEqual([]);
});
