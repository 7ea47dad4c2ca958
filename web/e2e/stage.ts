// What pictures show, put into a running DevStudio by its own doors: people, budgets, keys, files, answers, runs, a
// download under way. Everything in it happened.
import { readFileSync } from "node:fs";
import type { Browser } from "playwright-core";
import { launch, open, signIn } from "./browser.ts";
import { call, tokenOf } from "./calls.ts";
import { sampleFiles } from "./double/data.ts";
import { startHub } from "./hub/main.ts";

/** Who takes part in a picture. */
export interface Person { email: string; password: string }
/** What a picture is taken of. */
export interface Stage {
  url: string;
  /** An admin with files, conversations and runs. */
  person: Person;
  /** Somebody who has nothing yet. */
  newcomer: Person;
  /** Somebody whose budget is used up. */
  spent: Person;
  /** What the person's browser kept of earlier visits. */
  kept: [string, string][];
  /** Asked in the picture of the chat, after what was asked earlier. */
  question: string;
  /** Lets the person answer, save and run something once more. */
  work: () => Promise<void>;
  /** Keeps the model at work while pictures of it are taken; the returned function ends that. */
  load: () => () => Promise<void>;
  /** Begins the download of a model, where there is a hub; the returned function cancels it. */
  download: () => Promise<() => Promise<void>>;
  close: () => Promise<void>;
}

const password = "a long secret for pictures";
// The people, their monthly limit (0 for none), and what they ask.
const team = [
  { email: "marie.krause@example.org", displayName: "Marie Krause", role: "admin", limit: 500_000, says: [] },
  { email: "jonas.lenz@example.org", displayName: "Jonas Lenz", role: "dev", limit: 0, says: ["Write a Python function that checks whether a word is a palindrome.", "Write a Python function that counts the vowels of a text."] },
  { email: "aylin.demir@example.org", displayName: "Aylin Demir", role: "dev", limit: 100_000, says: ["Name three uses of a hash map.", "What is a closure in JavaScript?", "Explain what a mutex is."] },
  { email: "piotr.nowak@example.org", displayName: "Piotr Nowak", role: "dev", limit: 20_000, says: ["Write a haiku about rivers."] },
  { email: "sara.lindqvist@example.org", displayName: "Sara Lindqvist", role: "dev", limit: 0, says: ["Explain what a stack is.", "Write a SQL query that counts the rows of a table."] },
  { email: "ci-pipeline@example.org", displayName: "", role: "dev", limit: 50_000, says: ["Write a commit message for a fixed typing error."] },
] as const;
const earlier = ["Explain in three sentences what a sandbox is.", "Reverse a string in Python.", "Write a Python function that checks whether a number is even."];
const tally = `from collections import Counter

for letter, count in Counter("to be or not to be").most_common(3):
    print(f"{letter!r}: {count}")
`;

/** Fills a fresh server whose first admin is given. */
export async function setStage(url: string, admin: Person, hubAddress: string): Promise<Stage> {
  const root = await tokenOf(url, admin.email, admin.password);
  const must = async (method: string, params: object, token = root): Promise<Record<string, unknown>> => {
    const { status, json } = await call(url, method, params, token);
    if (status !== 200) throw new Error(`${method} ${JSON.stringify(params)}: ${JSON.stringify(json)}`);
    return json;
  };
  const tokens: string[] = [];
  for (const { email, displayName, role, limit } of team) {
    const { user } = (await must("user.add", { email, displayName, role, password })) as { user: { userId: string } };
    if (limit > 0) await must("budget.set", { scope: "user", subjectId: user.userId, monthlyLimit: String(limit) });
    if (displayName === "Marie Krause") await must("budget.grant", { userId: user.userId, tokens: "50000" });
    tokens.push(await tokenOf(url, email, password));
  }
  const [marie = "", jonas = "", , piotr = ""] = tokens;
  for (const [i, { says }] of team.entries()) for (const prompt of says) await call(url, "llm.chat", { prompt, maxTokens: 200 }, tokens[i]);
  const { budgets } = (await must("budget.get", {}, jonas)) as { budgets: [{ subjectId: string; used: string }] };
  await must("budget.set", { scope: "user", subjectId: budgets[0].subjectId, monthlyLimit: String(Number(budgets[0].used) + 8) });
  const notebook = (await must("key.add", { name: "Notebook" }, marie))["key"];
  await must("user.me", {}, String(notebook));
  const { apiKey } = (await must("key.add", { name: "CI", tokenBudget: "50000" }, marie)) as { apiKey: { keyId: string } };
  await must("key.revoke", { keyId: apiKey.keyId }, marie);
  await must("key.add", { name: "Laptop" }, jonas);
  await must("user.update", { userId: ((await must("user.me", {}, piotr))["user"] as { userId: string }).userId, disabled: true });
  const add = readFileSync(new URL("../../tests/fixtures/wasm/add.wasm", import.meta.url)).toString("base64");
  for (const [path, file] of sampleFiles()) await must("fs.write", path.endsWith(".wasm") ? { path, data: add } : { path, text: file.text ?? "" }, marie);
  const runs = [
    { engine: "wasm", path: "add.wasm", stdin: "20+22" },
    { engine: "run", runtime: "node", path: "src/words.js", stdin: "to be or not to be" },
    { engine: "run", runtime: "python", code: "while True:\n    pass", timeoutMs: 1_000 },
    { engine: "micro:python", code: "import platform\nprint(platform.release())" },
    { engine: "run", runtime: "python", path: "src/lib/colors.py" },
  ];
  for (const run of runs) await call(url, "run.exec", run, marie);
  const browser = await launch();
  const kept = await converse(browser, url, { email: team[0].email, password });
  await browser.close();
  const hub = hubAddress ? await startHub(hubAddress) : null;
  return {
    url,
    person: { email: team[0].email, password },
    newcomer: { email: team[4].email, password },
    spent: { email: team[1].email, password },
    kept,
    question: "Now write one that checks whether a word is a palindrome.",
    async work() {
      await must("fs.write", { path: "src/tally.py", text: tally }, marie);
      await must("llm.chat", { prompt: "Name a good test for a tally.", maxTokens: 60 }, marie);
      await must("run.exec", { engine: "run", runtime: "python", path: "src/tally.py" }, marie);
      await must("run.exec", { engine: "wasm", path: "add.wasm", stdin: "20+22" }, marie);
      await must("run.exec", { engine: "run", runtime: "python", code: "print(sum([1, 2, '3']))" }, marie);
    },
    load() {
      let on = true;
      const asking = (async () => { while (on) await call(url, "llm.chat", { prompt: "Explain what a queue is.", maxTokens: 120 }, tokens[2]); })();
      return () => { on = false; return asking; };
    },
    async download() {
      if (!hub) return () => Promise.resolve();
      const { jobId } = await must("llm.download", { model: "qwen2.5-coder-1.5b-instruct" });
      return async () => { await must("llm.cancel_job", { jobId }); };
    },
    close: async () => hub?.close(),
  };
}

/** Has earlier conversations in the browser, and gives what it keeps of them. The model is set to repeat itself. */
async function converse(browser: Browser, url: string, { email, password: secret }: Person): Promise<[string, string][]> {
  const { page } = await open(browser, url, { width: 1440, locale: "en" });
  await signIn(page, url, email, secret);
  await page.goto(`${url}/chat`);
  await page.getByRole("button", { name: "Model settings" }).click();
  await page.getByRole("slider", { name: "Temperature" }).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Escape");
  for (const text of earlier) {
    await page.getByRole("button", { name: "New conversation" }).first().click();
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: 90_000 });
  }
  await page.goto(`${url}/account`);
  return page.evaluate(() => Object.entries(localStorage).filter(([key]) => key.startsWith("devstudio.chat.")));
}
