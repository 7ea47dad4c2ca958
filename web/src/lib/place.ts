// The workspace that the person works in: its id stands in the address, and nothing stands there for the default one.
import { useRouterState } from "@tanstack/react-router";

let now = "";

/** The workspace whose files are open; empty is the default one. */
export const here = (): string => now;
export const setHere = (workspaceId: string): void => { now = workspaceId; };

/** The workspace that search parameters name; empty is the default one. */
export function placeOf(search: unknown): string {
  const ws = (search as { ws?: unknown } | undefined)?.ws;
  return typeof ws === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(ws) ? ws : "";
}

/** The search parameters of a link that stays in a workspace; its tab's own are not known where links are made. */
export const inPlace = (workspaceId: string) => (workspaceId ? { ws: workspaceId } : {}) as never;

/** The workspace of the address. */
export const usePlace = (): string => useRouterState({ select: (s) => placeOf(s.matches.at(-1)?.search) });
