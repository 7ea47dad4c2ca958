// Whose lock is in the way, and what is left of it.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { LockSchema, LockScope, type Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { countdown, endOf, lockAt, lockInTheWay } from "./locks";

const lock = (lockId: string, init: MessageInitShape<typeof LockSchema>): [string, Lock] => [lockId, create(LockSchema, { lockId, ...init })];
const agent = { userId: "me", agentId: "coder-1" };

test("an agent's lock keeps its own person out, the person's own does not", () => {
  const locks = new Map([lock("1", { path: "a", holder: agent }), lock("2", { path: "b", holder: { userId: "me" }, pinned: true })]);
  expect(lockInTheWay(locks, "a", "me")?.lockId).toBe("1");
  expect(lockInTheWay(locks, "b", "me")).toBeNull();
  expect(lockAt(locks, "b", "me")?.lockId).toBe("2");
});

test("a lock of a folder covers what is below it only with its scope", () => {
  const locks = new Map([lock("1", { path: "src", scope: LockScope.SUBTREE, holder: agent }), lock("2", { path: "docs", scope: LockScope.FILE, holder: agent })]);
  expect(lockInTheWay(locks, "src/a/b", "me")?.lockId).toBe("1");
  expect(lockInTheWay(locks, "srcs/a", "me")).toBeNull();
  expect(lockInTheWay(locks, "docs/a", "me")).toBeNull();
});

test("of several the one that ends last is shown", () => {
  const at = (ms: number) => ({ expiresAt: timestampFromMs(ms) });
  const locks = new Map([lock("1", { path: "a", holder: agent, ...at(9_000) }), lock("2", { path: "", scope: LockScope.SUBTREE, holder: { userId: "you" } }), lock("3", { path: "a", holder: agent, ...at(20_000) })]);
  expect(lockInTheWay(locks, "a", "me")?.lockId).toBe("2");
  expect(endOf(create(LockSchema, at(9_000)))).toBe(9_000);
});

test("time left reads as minutes and seconds", () => {
  expect([0, 133, 3_725].map(countdown)).toEqual(["00:00", "02:13", "1:02:05"]);
});
