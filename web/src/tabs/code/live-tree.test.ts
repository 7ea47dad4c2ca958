// The tree follows events, goes on from its token, and drops what ended while nobody listened.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { LockSchema } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { EntryKind, TreeEventKind, TreeEventSchema, type TreeEvent } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { LiveTree, treeOf } from "./live-tree";

const file = (kind: TreeEventKind, path: string, version = 1n): TreeEvent => create(TreeEventSchema, { kind, entry: { path, kind: EntryKind.FILE, version } });
const lock = (kind: TreeEventKind, lockId: string): TreeEvent => create(TreeEventSchema, { kind, lock: create(LockSchema, { lockId, path: "a" }) });
const synced = create(TreeEventSchema, { kind: TreeEventKind.SYNCED });
const paths = (tree: LiveTree) => [...tree.snapshot().entries.keys()];

function begun(): LiveTree {
  const tree = new LiveTree("");
  expect(tree.begin().resumeToken).toBe("");
  tree.take([file(TreeEventKind.ADDED, "a"), file(TreeEventKind.ADDED, "b"), lock(TreeEventKind.LOCKED, "l1"), synced], "7");
  return tree;
}

test("it is loaded when all that was before has been told", () => {
  const tree = new LiveTree("");
  tree.begin();
  tree.take([file(TreeEventKind.ADDED, "a")], "");
  expect(tree.snapshot()).toMatchObject({ loaded: false, synced: false });
  tree.take([synced], "3");
  expect(tree.snapshot()).toMatchObject({ loaded: true, synced: true });
});

test("entries change and go", () => {
  const tree = begun();
  tree.take([file(TreeEventKind.CHANGED, "a", 2n), file(TreeEventKind.REMOVED, "b"), lock(TreeEventKind.UNLOCKED, "l1")], "8");
  expect(tree.snapshot().entries.get("a")?.version).toBe(2n);
  expect(paths(tree)).toEqual(["a"]);
  expect(tree.snapshot().locks.size).toBe(0);
});

test("a lost connection goes on from the last token, and keeps what it knows meanwhile", () => {
  const tree = begun();
  tree.take([file(TreeEventKind.ADDED, "half")], "");
  expect(tree.begin().resumeToken).toBe("7");
  expect(tree.snapshot()).toMatchObject({ loaded: true, synced: false });
  tree.take([file(TreeEventKind.ADDED, "c"), synced], "9");
  expect(paths(tree)).toEqual(["a", "b", "half", "c"]);
});

test("a lock that ended meanwhile is gone after the next sync", () => {
  const tree = begun();
  tree.begin();
  tree.take([lock(TreeEventKind.LOCKED, "l2"), synced], "9");
  expect([...tree.snapshot().locks.keys()]).toEqual(["l2"]);
});

test("without a token everything is told anew, and what is not told is gone", () => {
  const tree = new LiveTree("");
  tree.begin();
  tree.take([file(TreeEventKind.ADDED, "a"), file(TreeEventKind.ADDED, "b"), synced], "");
  tree.begin();
  tree.take([file(TreeEventKind.ADDED, "b"), synced], "4");
  expect(paths(tree)).toEqual(["b"]);
});

test("the tree of a workspace is kept for the same person only", () => {
  const tree = treeOf("marie", "w");
  expect(treeOf("marie", "w")).toBe(tree);
  expect(treeOf("jonas", "w")).not.toBe(tree);
});
