// The theme: follows the system until the person chooses, and tells canvases when its colours changed.
import { create } from "zustand";

export const themes = ["NeonCyberNight", "SerialSteel"] as const;
export type Theme = (typeof themes)[number];

const current = (): Theme => (document.documentElement.dataset["theme"] === "SerialSteel" ? "SerialSteel" : "NeonCyberNight");
export const useTheme = create<{ theme: Theme }>(() => ({ theme: current() }));

/** Chooses a theme for this browser. */
export function setTheme(theme: Theme): void {
  localStorage.setItem("devstudio.theme", theme);
  apply(theme);
}

/** Follows the system and other tabs while the Studio is open. */
export function followTheme(): void {
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", (event) => {
    if (!localStorage.getItem("devstudio.theme")) apply(event.matches ? "SerialSteel" : "NeonCyberNight");
  });
  addEventListener("storage", (event) => {
    if (event.key === "devstudio.theme" && (event.newValue === "NeonCyberNight" || event.newValue === "SerialSteel")) apply(event.newValue);
  });
}

/** A token's value now, for canvases and Monaco. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function apply(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", token("chrome"));
  useTheme.setState({ theme });
}
