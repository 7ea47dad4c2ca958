// How a terminal looks: the theme's colours for xterm, and the font of code.
import type { ISearchDecorationOptions } from "@xterm/addon-search";
import type { ITheme } from "@xterm/xterm";
import { token } from "../../lib/theme";

export const FONT = '"JetBrains Mono Variable"';
export const fontSize = (phone: boolean) => (phone ? 12 : 13.5);

/** Xterm's colours; the bright ones are the same eight, since all of them are readable on the ground. */
export function colors(): ITheme {
  const ansi = (name: string) => token(`ansi-${name}`);
  return {
    background: token("editor"),
    foreground: token("fg"),
    cursor: token("signal"),
    cursorAccent: token("editor"),
    selectionBackground: mix(token("accent-text"), token("editor"), 0.35),
    selectionInactiveBackground: mix(token("accent-text"), token("editor"), 0.22),
    scrollbarSliderBackground: token("line-2"),
    scrollbarSliderHoverBackground: token("line-strong"),
    scrollbarSliderActiveBackground: token("line-strong"),
    overviewRulerBorder: token("editor"),
    black: ansi("black"), red: ansi("red"), green: ansi("green"), yellow: ansi("yellow"), blue: ansi("blue"), magenta: ansi("magenta"), cyan: ansi("cyan"), white: ansi("white"),
    brightBlack: token("fg-3"), brightRed: ansi("red"), brightGreen: ansi("green"), brightYellow: ansi("yellow"), brightBlue: ansi("blue"), brightMagenta: ansi("magenta"), brightCyan: ansi("cyan"), brightWhite: token("fg"),
  };
}

/** How what was searched for stands out. */
export function marks(): ISearchDecorationOptions {
  const ground = mix(token("warn"), token("editor"), 0.28);
  return { matchBackground: ground, matchOverviewRuler: token("warn"), activeMatchBackground: ground, activeMatchBorder: token("signal"), activeMatchColorOverviewRuler: token("signal") };
}

/** A colour between two, since canvases and xterm know no color-mix. */
export function mix(over: string, under: string, share: number): string {
  const part = (color: string, at: number) => parseInt(color.slice(at, at + 2), 16) || 0;
  return `#${[1, 3, 5].map((at) => Math.round(part(over, at) * share + part(under, at) * (1 - share)).toString(16).padStart(2, "0")).join("")}`;
}
