// What is seriously wrong with a page as it stands, by axe, and whether it fits the window.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "playwright-core";
import type { View } from "./browser.ts";

/** Both themes and languages, from a wide window to a phone's. */
export const views: View[] = [
  { width: 1440, theme: "NeonCyberNight", locale: "en" },
  { width: 1280, theme: "SerialSteel", locale: "de" },
  { width: 390, theme: "NeonCyberNight", locale: "de" },
  { width: 390, theme: "SerialSteel", locale: "en" },
];

/** Waits until nothing moves in a page any more, but for what moves without end. */
export const settled = (page: Page) =>
  page.waitForFunction(() => !document.querySelector(".late") && document.getAnimations().every((a) => a.playState !== "running" || a.effect?.getTiming().iterations === Infinity));

/** The serious findings of axe in a page, without what is excluded by selector, and a word where it is wider than the window. */
export async function faults(page: Page, name: string, ...excluded: string[]): Promise<string[]> {
  const { violations } = await excluded.reduce((axe, selector) => axe.exclude(selector), new AxeBuilder({ page })).analyze();
  const found = violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${name} ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(" | ")}`);
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${name} is wider than the window`);
  return found;
}
