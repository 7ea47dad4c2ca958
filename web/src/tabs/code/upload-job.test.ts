// Uploads say of each file what became of it.
import { expect, test } from "vitest";
import { UploadJob, type Judge, type Put } from "./upload-job";

const file = (name: string, size = 3) => ({ path: name, file: new File(["x".repeat(size)], name) });
const judge: Judge = (cause) => (String(cause).includes("there") ? { state: "taken", why: "there" } : { state: "failed", why: String((cause as Error).message) });
const job = (files: Parameters<typeof file>[0][], put: Put, limit = 10) => new UploadJob(files.map((name) => file(name)), limit, (size) => `${size} is too large`, put, judge);

test("every file is stored, and never more than four at a time", async () => {
  let now = 0;
  let most = 0;
  const stored: string[] = [];
  const upload = job(["a", "b", "c", "d", "e", "f", "g"], async (path) => {
    most = Math.max(most, (now += 1));
    await Promise.resolve();
    now -= 1;
    stored.push(path);
  });
  await upload.start();
  expect(stored.toSorted()).toEqual(["a", "b", "c", "d", "e", "f", "g"]);
  expect(most).toBe(4);
  expect([upload.count("done"), upload.busy]).toEqual([7, false]);
});

test("a file that is too large is never sent, and the others are", async () => {
  const sent: string[] = [];
  const upload = new UploadJob([file("small"), file("large", 11)], 10, (size) => `${size} is too large`, async (path) => void sent.push(path), judge);
  await upload.start();
  expect(sent).toEqual(["small"]);
  expect(upload.items[1]).toMatchObject({ state: "failed", why: "11 is too large" });
});

test("refusals are told of each file, and one that is there is replaced when asked", async () => {
  const upload = job(["full", "there", "ok"], (path, _content, replace) => (path === "full" ? Promise.reject(new Error("quota")) : path === "there" && !replace ? Promise.reject(new Error("there")) : Promise.resolve()));
  await upload.start();
  expect(upload.items.map(({ state, why }) => `${state} ${why}`)).toEqual(["failed quota", "taken there", "done "]);
  await upload.replace(upload.items.filter((item) => item.state === "taken"));
  expect(upload.items[1]?.state).toBe("done");
});

test("a stopped upload sends no further file, and says so of those that waited", async () => {
  const sent: string[] = [];
  const upload = job(["a", "b", "c", "d", "e", "f"], (path, _content, _replace, signal) => {
    sent.push(path);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  });
  const ended = upload.start();
  await expect.poll(() => sent.length).toBe(4);
  upload.cancel();
  await ended;
  expect(sent).toEqual(["a", "b", "c", "d"]);
  expect(upload.items.slice(4).map((item) => item.state)).toEqual(["cancelled", "cancelled"]);
});

test("stopped, then replaced: what is there is replaced, and can be stopped again", async () => {
  const put: string[] = [];
  const upload = job(["there", "b", "c", "d", "e"], (path, _content, replace, signal) => {
    put.push(path);
    if (path === "there") return replace ? Promise.resolve() : Promise.reject(new Error("there"));
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  });
  const ended = upload.start();
  await expect.poll(() => put.length).toBe(5);
  upload.cancel();
  await ended;
  await upload.replace(upload.items.filter((item) => item.state === "taken"));
  expect([upload.items[0]?.state, upload.busy]).toEqual(["done", false]);
  const again = upload.replace(upload.items.slice(1, 2));
  await expect.poll(() => put.length).toBe(7);
  upload.cancel();
  await again;
  expect(upload.busy).toBe(false);
});

test("stopped at once and started again, as React does when it tries an effect, it sends every file once", async () => {
  const sent: string[] = [];
  const upload = job(["a", "b", "c", "d", "e", "f"], async (path) => void sent.push(path));
  const first = upload.start();
  upload.cancel();
  await Promise.all([first, upload.start()]);
  expect(sent.toSorted()).toEqual(["a", "b", "c", "d", "e", "f"]);
  expect(upload.items.map((item) => item.state)).toEqual(Array.from({ length: 6 }, () => "done"));
});

test("an empty folder is made", async () => {
  const made: unknown[] = [];
  await new UploadJob([{ path: "empty", file: null }], 10, String, async (path, content) => void made.push(path, content), judge).start();
  expect(made).toEqual(["empty", null]);
});
