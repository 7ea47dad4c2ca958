// Every action by name: the palette lists them, keys call them, and the shortcuts dialog shows both.
import type { LucideIcon } from "lucide-react";
import { useEffect, useRef } from "react";
import { create } from "zustand";

/** An action that a person can call by name or by key. */
export interface Command {
  id: string;
  title: string;
  group: "go" | "code" | "chat" | "run" | "terminal" | "logs" | "settings";
  icon?: LucideIcon;
  keys?: string;
  hidden?: boolean;
  typing?: boolean;
  run: () => void;
}

export const useCommandList = create<{ lists: Record<string, Command[]> }>(() => ({ lists: {} }));

/** Offers commands while the component is on the page. */
export function useCommands(owner: string, commands: Command[]): void {
  const latest = useRef(commands);
  useEffect(() => {
    latest.current = commands;
  });
  const shape = commands.map((c) => `${c.id} ${c.title} ${c.keys ?? ""}`).join("\n");
  useEffect(() => {
    const callable = latest.current.map((c) => ({ ...c, run: () => latest.current.find((now) => now.id === c.id)?.run() }));
    useCommandList.setState(({ lists }) => ({ lists: { ...lists, [owner]: callable } }));
  }, [owner, shape]);
  useEffect(() => () => useCommandList.setState(({ lists }) => ({ lists: Object.fromEntries(Object.entries(lists).filter(([key]) => key !== owner)) })), [owner]);
}

/** All commands of now. */
export const allCommands = (): Command[] => Object.values(useCommandList.getState().lists).flat();

/** Calls commands by their keys; `Mod` is Ctrl, on a Mac also Command. */
export function listenForKeys(): () => void {
  const onKey = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    const pressed = spell(event);
    if (event.target instanceof HTMLElement && event.target.closest("[role=dialog], [role=menu], [role=listbox]")) return;
    const typing = isTyping(event.target);
    const command = allCommands().find((c) => c.keys?.split(" / ").includes(pressed) && (!typing || c.typing || pressed.includes("Mod") || /^F\d/.test(pressed)));
    if (!command) return;
    event.preventDefault();
    event.stopPropagation();
    command.run();
  };
  addEventListener("keydown", onKey, { capture: true });
  return () => removeEventListener("keydown", onKey, { capture: true });
}

function spell(event: KeyboardEvent): string {
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Mod");
  if (event.altKey) parts.push("Alt");
  // Shift is told where it changes no sign: with named keys, and with letters that Ctrl is held for.
  if (event.shiftKey && (event.key.length > 1 || (parts.length > 0 && /^[a-z]$/i.test(event.key)))) parts.push("Shift");
  parts.push(event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key);
  return parts.join("+");
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.closest("input, textarea, select, [role=menu], [role=listbox], .monaco-editor") !== null);
}
