// Which lock is in a person's way, and how its holder is called.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { LockScope, type Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { m } from "../../paraglide/messages";
import { within } from "./rows";

type Locks = Map<string, Lock>;

/** A lock covers a path. */
export const covers = (lock: Lock, path: string) => lock.path === path || (lock.scope === LockScope.SUBTREE && within(path, lock.path));

/** A lock that the person holds, not an agent in their name. */
export const isOwn = (lock: Lock, userId: string) => lock.holder?.userId === userId && !lock.holder.agentId && !lock.holder.taskId;

/** The lock that keeps the person from writing a file; of several, the one that ends last. */
export function lockInTheWay(locks: Locks, path: string, userId: string): Lock | null {
  const found = [...locks.values()].filter((lock) => covers(lock, path) && !isOwn(lock, userId));
  return found.toSorted((a, b) => endOf(b) - endOf(a))[0] ?? null;
}

/** The lock that is taken at just this path; another's goes before one's own. */
export function lockAt(locks: Locks, path: string, userId: string): Lock | null {
  const found = [...locks.values()].filter((lock) => lock.path === path);
  return found.find((lock) => !isOwn(lock, userId)) ?? found[0] ?? null;
}

/** When a lock ends by itself, in milliseconds; Infinity where it does not. */
export const endOf = (lock: Lock) => (lock.expiresAt ? timestampMs(lock.expiresAt) : Infinity);

/** The holder's name for people. */
export function holderName(lock: Lock, userId: string): string {
  if (lock.holder?.agentId) return lock.holder.agentId;
  if (lock.holder?.taskId) return m.lock_agent();
  return lock.holder?.userId === userId ? m.lock_you() : m.lock_person();
}

/** Time left, as "02:13". */
export function countdown(seconds: number): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
}
