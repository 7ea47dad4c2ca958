// The tokens' contrast: text at 4.5, marks and series at 3.0, in both themes.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const themes = ["NeonCyberNight", "SerialSteel"] as const;
const tokensOf = (theme: string) => Object.fromEntries([...readFileSync(`src/themes/${theme}.css`, "utf8").matchAll(/--([\w-]+): (#[0-9A-Fa-f]{6});/g)].map((found) => [found[1] ?? "", found[2] ?? ""]));

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}
function hue(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const most = Math.max(r, g, b);
  const span = most - Math.min(r, g, b);
  const raw = most === r ? (g - b) / span : most === g ? 2 + (b - r) / span : 4 + (r - g) / span;
  return (raw * 60 + 360) % 360;
}

const grounds = ["canvas", "chrome", "panel", "raised", "hover", "selected", "overlay", "editor"];
const pairs: [string, string[], number][] = [
  ...["fg", "fg-2", "fg-3"].map((name): [string, string[], number] => [name, grounds, 4.5]),
  ...["accent-text", "live", "ok", "warn", "err", "info"].map((name): [string, string[], number] => [name, ["panel", "raised", "selected", "overlay", "editor"], 4.5]),
  ...["ok", "warn", "err", "live"].map((name): [string, string[], number] => [name, [`${name}-soft`], 4.5]),
  ["on-accent", ["accent", "accent-hover"], 4.5],
  ["on-err", ["err-solid"], 4.5],
  ...["keyword", "function", "type", "string", "number", "constant", "comment", "property", "punct", "ghost"].map((name): [string, string[], number] => [`sx-${name}`, ["editor"], 4.5]),
  ...["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"].map((name): [string, string[], number] => [`ansi-${name}`, ["editor"], 4.5]),
  ...["c1", "c2", "c3", "c4", "c5", "c6", "signal", "line-strong", "focus"].map((name): [string, string[], number] => [name, ["panel"], 3]),
];

describe.each(themes)("%s", (theme) => {
  const tokens = tokensOf(theme);
  test.each(pairs)("%s is readable", (name, on, least) => {
    for (const ground of on) expect(contrast(tokens[name] ?? "", tokens[ground] ?? ""), `${name} on ${ground}`).toBeGreaterThanOrEqual(least);
  });
});

test("NeonCyberNight is dark with violet and aqua, SerialSteel is light", () => {
  const neon = tokensOf("NeonCyberNight");
  expect(hue(neon["accent"] ?? "")).toBeGreaterThan(255);
  expect(hue(neon["accent"] ?? "")).toBeLessThan(300);
  expect(hue(neon["signal"] ?? "")).toBeGreaterThan(165);
  expect(hue(neon["signal"] ?? "")).toBeLessThan(195);
  for (const ground of grounds) {
    expect(luminance(neon[ground] ?? "")).toBeLessThan(0.05);
    expect(luminance(tokensOf("SerialSteel")[ground] ?? "")).toBeGreaterThan(0.6);
  }
});

test("both themes define the same tokens", () => {
  const names = (theme: string) => [...readFileSync(`src/themes/${theme}.css`, "utf8").matchAll(/--([\w-]+):/g)].map((found) => found[1]).sort();
  expect(names("SerialSteel")).toEqual(names("NeonCyberNight"));
});
