// Pictures of every tab in both themes, at three widths, in German and English: of the running DevStudio at
// DEVSTUDIO_E2E_URL with content that e2e/stage.ts makes there, or of the double.
import { mkdirSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn, type View } from "./browser.ts";
import { startDouble } from "./double/main.ts";
import { build } from "./scenes/build.ts";
import { code } from "./scenes/code.ts";
import { pages } from "./scenes/pages.ts";
import { programs } from "./scenes/programs.ts";
import { ask, settled, type Scene } from "./scenes/steps.ts";
import { setStage, type Stage } from "./stage.ts";

const out = process.env["SCREENSHOTS"] ?? new URL("../test-results/screenshots", import.meta.url).pathname;
const only = process.argv.slice(2);
mkdirSync(out, { recursive: true });
/** Pictures of the person's own pages. */
const scenes: Record<string, Scene> = { ...build, ...code, ...programs, ...pages };
/** What goes on while all pictures of a scene are taken at once; the returned function ends it. */
const meanwhile: Record<string, (stage: Stage) => Promise<() => Promise<unknown>>> = {
  models: async ({ load, download }) => {
    const idle = load();
    const cancel = await download();
    return () => Promise.all([idle(), cancel()]);
  },
};
/** Pictures for which nobody, or somebody else, is signed in. */
const apart: Record<string, Scene> = {
  signin: async (page, { url, person }) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill(person.email);
  },
  "signin-wrong": async (page, { url, person }) => {
    await page.goto(url);
    await page.getByLabel(/^E-Mail$/i).fill(person.email);
    await page.locator("#password").fill("wrong-one");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").and(page.locator(":visible")).waitFor();
  },
  "chat-error": async (page, { url, spent }) => {
    await signIn(page, url, spent.email, spent.password);
    await page.goto(`${url}/chat`);
    await ask(page, "What of my budget is left?");
    await page.getByRole("alert").waitFor();
    await settled(page);
  },
  "empty-code": async (page, stage) => empty(page, stage, "code"),
  "empty-chat": async (page, stage) => empty(page, stage, "chat"),
  "empty-run": async (page, stage) => empty(page, stage, "run"),
  "empty-logs": async (page, stage) => empty(page, stage, "logs?text=nothing-fits-this"),
  "empty-account": async (page, stage) => empty(page, stage, "account"),
};
async function empty(page: Page, { url, newcomer }: Stage, path: string): Promise<void> {
  await signIn(page, url, newcomer.email, newcomer.password);
  await page.goto(`${url}/${path}`);
  await settled(page, 2_500);
}

async function take(browser: Browser, stage: Stage, name: string, view: View): Promise<void> {
  const { context, page, complaints } = await open(browser, stage.url, view);
  const file = `${name}-${view.theme === "SerialSteel" ? "steel" : "neon"}-${view.locale}-${view.width}`;
  let undo: void | (() => Promise<void>) = undefined;
  try {
    await context.addInitScript((kept) => { for (const [key, value] of kept) if (!localStorage.getItem(key)) localStorage.setItem(key, value); }, stage.kept);
    if (name in scenes) await signIn(page, stage.url, stage.person.email, stage.person.password);
    undo = await (scenes[name] ?? apart[name])?.(page, stage);
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) complaints.push("the page is wider than the window");
  } catch (cause) {
    complaints.push(String(cause).slice(0, 400));
  }
  await page.screenshot({ path: `${out}/${file}.png` });
  const own = complaints.filter((c) => !/401|404|429|409|403|ERR_/.test(c));
  console.log(`${file}${own.length > 0 ? `\n  ${own.join("\n  ")}` : ""}`);
  await context.close();
  await undo?.();
}

/** The double as a stage: its people and files are there from its start. */
async function double(): Promise<Stage> {
  const { url, close } = await startDouble();
  const password = "correct horse";
  const dev = { email: "dev@devstudio.local", password };
  const nothing = () => Promise.resolve();
  return { url, person: { email: "admin@devstudio.local", password }, newcomer: dev, spent: dev, kept: [], question: "Write a Python function that tells even numbers.", work: nothing, load: () => nothing, download: () => Promise.resolve(nothing), close };
}

const address = process.env["DEVSTUDIO_E2E_URL"];
const admin = { email: process.env["DEVSTUDIO_E2E_EMAIL"] ?? "admin@localhost", password: process.env["DEVSTUDIO_E2E_PASSWORD"] ?? "" };
const stage = address ? await setStage(address, admin, process.env["DEVSTUDIO_E2E_HUB"] ?? "") : await double();
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
for (const name of names) {
  const end = await meanwhile[name]?.(stage);
  const wanted = views.filter((view) => widths.length === 0 || widths.includes(view.width));
  if (end) await Promise.all(wanted.map((view) => take(browser, stage, name, view)));
  else for (const view of wanted) await take(browser, stage, name, view);
  await end?.();
}
await browser.close();
await stage.close();
