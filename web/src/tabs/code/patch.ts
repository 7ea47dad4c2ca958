// The difference of two texts as a unified diff of one hunk, so that a save sends what changed and not the file.
const CONTEXT = 3;

/** The diff; null where sending the whole text is as good or a line's end makes it doubtful. */
export function patchOf(before: string, after: string): string | null {
  if (before === "" || after === "" || !before.endsWith("\n") || !after.endsWith("\n") || before === after) return null;
  const old = before.slice(0, -1).split("\n");
  const now = after.slice(0, -1).split("\n");
  const shorter = Math.min(old.length, now.length);
  let head = 0;
  while (head < shorter && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  const from = Math.max(0, head - CONTEXT);
  const oldEnd = Math.min(old.length, old.length - tail + CONTEXT);
  const nowEnd = Math.min(now.length, now.length - tail + CONTEXT);
  const lines = [
    `@@ -${from + 1},${oldEnd - from} +${from + 1},${nowEnd - from} @@`,
    ...old.slice(from, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...now.slice(head, now.length - tail).map((line) => `+${line}`),
    ...now.slice(now.length - tail, nowEnd).map((line) => ` ${line}`),
  ];
  const patch = `--- a\n+++ b\n${lines.join("\n")}\n`;
  return patch.length < after.length / 2 ? patch : null;
}
