// The terminals that this page is attached to, for as long as somebody is signed in.
import { useSession } from "../../api/session";
import { useConnection } from "../../api/stream";
import type { Terminal } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { Session } from "./session";

const sessions = new Map<string, Session>();
/** The terminal that was looked at last, by workspace. */
export const lastShown = new Map<string, string>();

/** The page's end of a terminal; made at the first call. */
export function sessionOf(info: Terminal, fresh = false): Session {
  const known = sessions.get(info.terminalId);
  if (known) return known;
  const made = new Session(info, fresh);
  sessions.set(info.terminalId, made);
  return made;
}

/** Lets go of a terminal that was closed. */
export function forget(terminalId: string): void {
  sessions.get(terminalId)?.dispose();
  sessions.delete(terminalId);
}

/** Lets go of those of a workspace that the server does not know any more. */
export function keepOnly(workspaceId: string, known: Terminal[]): void {
  const ids = new Set(known.map((terminal) => terminal.terminalId));
  for (const [id, session] of sessions) if (session.view.getState().info.workspaceId === workspaceId && !ids.has(id)) forget(id);
}

// Whoever signs out, or is another person, keeps nothing on the screen.
useSession.subscribe((now, before) => {
  if (now.user?.userId === before.user?.userId && now.status !== "out") return;
  for (const id of sessions.keys()) forget(id);
  lastShown.clear();
});

// The page's main connection notices a dead network by its beat; terminals that nothing comes from do not.
useConnection.subscribe((now, before) => {
  for (const session of sessions.values()) {
    if (now.state === "lost" && now.attempts === 2 && before.attempts < 2) session.drop();
    if (now.state === "open" && before.state !== "open") session.retry();
  }
});
