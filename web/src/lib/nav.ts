// Moves between the tabs from anywhere, without tabs knowing each other.
import type { AnyRouter } from "@tanstack/react-router";
import { here } from "./place";

let router: AnyRouter | null = null;
export const setRouter = (value: AnyRouter) => { router = value; };

/** Goes to a path with search parameters, in the same workspace if none is named; what is empty stays out of the address. */
export function go(to: string, search: Record<string, string | undefined> = {}, replace = false): void {
  const clean = Object.fromEntries(Object.entries({ ws: here(), ...search }).filter(([, value]) => value !== undefined && value !== ""));
  void router?.navigate({ to, search: clean, replace });
}
