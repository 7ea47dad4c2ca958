// The Studio's figures hold: medians of five rounds in a real Chromium, so that one busy moment does not decide. A
// benchmark is no timed test: it runs where FIGURES=1 says that nothing else does.
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { Browser } from "playwright-core";
import { launch } from "./browser.ts";
import { measure, type Figure } from "./measure.ts";

const server = inject("server");
let browser: Browser | undefined;
let figures: Figure[];
const measured = process.env["FIGURES"] === "1";

beforeAll(async () => {
  if (!measured) return console.log("SKIPPED the Studio's figures: FIGURES=1 measures them, on a quiet machine");
  browser = await launch();
  figures = await measure(browser, server);
}, 600_000);
afterAll(() => browser?.close());

test.skipIf(!measured).each([
  "tree of 10,000 entries opens",
  "tree: longest task while scrolling",
  "tree: most rows in the page",
  "file of 512 KiB opens in Monaco",
  "log of 500,000 lines opens",
  "log: longest task while scrolling, lines coming in",
  "log: most rows in the page",
  "script before Monaco, gzip",
  "largest paint of the sign-in page",
  "largest paint of the Code tab, signed in",
])("%s within what it must", (name) => {
  const found = figures.find((figure) => figure.name === name);
  expect(found?.value, `${name}: ${found?.rounds.map((round) => round.toFixed(0)).join(", ")} ${found?.unit}`).toBeLessThanOrEqual(found?.must ?? 0);
});
