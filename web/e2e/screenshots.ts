// Pictures of every tab in both themes, at three widths, in German and English, against the double.
import { mkdirSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn, type View } from "./browser.ts";
import { startDouble } from "./double/main.ts";

const out = process.env["SCREENSHOTS"] ?? new URL("../test-results/screenshots", import.meta.url).pathname;
const only = process.argv.slice(2);
mkdirSync(out, { recursive: true });

const button = (page: Page, name: RegExp) => page.getByRole("button", { name });
const scenes: Record<string, (page: Page, url: string) => Promise<void>> = {
  code: async (page, url) => {
    await page.goto(`${url}/code?path=src/primes.py`);
    await page.locator(".monaco-editor .view-line").first().waitFor();
    await page.keyboard.press("F5");
    await page.getByText("prime", { exact: false }).last().waitFor();
    await page.waitForTimeout(900);
  },
  chat: async (page, url) => {
    await page.goto(`${url}/chat`);
    await page.getByLabel(/^(Nachricht|Message)$/).fill("Schreib eine Python-Funktion, die gerade Zahlen erkennt.");
    await button(page, /^(Senden|Send)$/).click();
    await button(page, /^(Neu erzeugen|Regenerate)$/).waitFor();
    await page.waitForTimeout(900);
  },
  run: async (page, url) => {
    await page.goto(`${url}/run`);
    await page.getByLabel(/^Code$/).last().fill('for code, word in ((31, "red"), (32, "green"), (36, "cyan")):\n    print(f"\\x1b[{code}m{word}\\x1b[0m")\nraise SystemExit(3)');
    await page.locator("section").getByRole("button", { name: /^(Ausführen|Run)$/ }).click();
    await page.getByText("exit 3").first().waitFor();
    await page.waitForTimeout(600);
  },
  logs: async (page, url) => {
    await page.goto(`${url}/logs?level=debug`);
    await page.getByRole("log").getByRole("button").last().waitFor();
    await page.waitForTimeout(600);
  },
  "logs-line": async (page, url) => {
    await page.goto(`${url}/logs`);
    await page.getByRole("log").getByRole("button").nth(6).click();
    await page.waitForTimeout(500);
  },
  models: async (page, url) => {
    await page.goto(`${url}/admin/models`);
    await page.waitForTimeout(5_000);
  },
  users: async (page, url) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /Jonas Lenz/).first().waitFor();
    if ((page.viewportSize()?.width ?? 0) > 768) await page.locator("table").getByRole("button", { name: /Jonas Lenz/ }).click();
    await page.waitForTimeout(700);
  },
  usage: async (page, url) => {
    await page.goto(`${url}/admin/usage`);
    await page.locator("svg[role=img] rect").first().waitFor();
    await page.waitForTimeout(500);
  },
  account: async (page, url) => {
    await page.goto(`${url}/account`);
    await page.locator("svg[role=img] rect").first().waitFor();
    await page.waitForTimeout(500);
  },
  palette: async (page, url) => {
    await page.goto(`${url}/code`);
    await page.waitForTimeout(800);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("pr");
    await page.waitForTimeout(400);
  },
  "chat-empty": async (page, url) => {
    await page.goto(`${url}/chat`);
    await page.waitForTimeout(800);
  },
  "chat-error": async (page, url) => {
    await page.goto(`${url}/chat`);
    await page.getByLabel(/^(Nachricht|Message)$/).fill("budget");
    await button(page, /^(Senden|Send)$/).click();
    await page.getByRole("alert").waitFor();
    await page.waitForTimeout(400);
  },
  error: async (page, url) => {
    await page.goto(`${url}/run/00000000-0000-4000-8000-000000009999`);
    await page.getByRole("alert").waitFor();
    await page.waitForTimeout(300);
  },
  menu: async (page, url) => {
    await page.goto(`${url}/code`);
    await button(page, /^(Menü von|Menu of)/).click();
    await page.waitForTimeout(400);
  },
};
const apart: Record<string, (page: Page, url: string) => Promise<void>> = {
  signin: async (page, url) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill("marie.krause@devstudio.local");
  },
  "signin-wrong": async (page, url) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill("throttle@devstudio.local");
    await page.locator("#password").fill("wrong-one");
    await page.keyboard.press("Enter");
    await page.waitForTimeout(500);
  },
  empty: async (page, url) => {
    await signIn(page, url, "dev@devstudio.local", "correct horse");
    await page.goto(`${url}/code`);
    await page.waitForTimeout(800);
  },
};

async function take(browser: Browser, url: string, name: string, view: View): Promise<void> {
  const { context, page, complaints } = await open(browser, url, view);
  const file = `${name}-${view.theme === "SerialSteel" ? "steel" : "neon"}-${view.locale}-${view.width}`;
  try {
    if (name in scenes) await signIn(page, url, "admin@devstudio.local", "correct horse");
    await (scenes[name] ?? apart[name])?.(page, url);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    if (wide) complaints.push("the page is wider than the window");
  } catch (cause) {
    complaints.push(String(cause).slice(0, 400));
  }
  await page.screenshot({ path: `${out}/${file}.png` });
  const own = complaints.filter((c) => !/401|404|429|409|403|ERR_/.test(c));
  console.log(`${file}${own.length > 0 ? `\n  ${own.join("\n  ")}` : ""}`);
  await context.close();
}

const double = await startDouble();
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
for (const name of names) for (const view of views.filter((v) => widths.length === 0 || widths.includes(v.width))) await take(browser, double.url, name, view);
await browser.close();
await double.close();
