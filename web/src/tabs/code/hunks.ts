// The places at which two texts differ, and the text that decisions about them make.

/** A place: some lines of the first text, and those that stand there in the second. Indexes count from 0. */
export interface Hunk { oldStart: number; oldCount: number; newStart: number; newCount: number }
export type Decision = "open" | "kept" | "rejected";
/** A change as Monaco's diff tells it: lines from 1; an end of 0 means that there are none, after the line of the start. */
export interface LineChange { originalStartLineNumber: number; originalEndLineNumber: number; modifiedStartLineNumber: number; modifiedEndLineNumber: number }

export function hunksOf(changes: readonly LineChange[]): Hunk[] {
  return changes.map((change) => ({
    oldStart: change.originalEndLineNumber === 0 ? change.originalStartLineNumber : change.originalStartLineNumber - 1,
    oldCount: change.originalEndLineNumber === 0 ? 0 : change.originalEndLineNumber - change.originalStartLineNumber + 1,
    newStart: change.modifiedEndLineNumber === 0 ? change.modifiedStartLineNumber : change.modifiedStartLineNumber - 1,
    newCount: change.modifiedEndLineNumber === 0 ? 0 : change.modifiedEndLineNumber - change.modifiedStartLineNumber + 1,
  }));
}

/** The second text with the first one's lines at some hunks. */
export function textWith(original: string, proposed: string, hunks: readonly Hunk[], goesBack: (at: number) => boolean): string {
  const old = original.split("\n");
  const now = proposed.split("\n");
  for (let at = hunks.length - 1; at >= 0; at -= 1) {
    const hunk = hunks[at];
    if (hunk && goesBack(at)) now.splice(hunk.newStart, hunk.newCount, ...old.slice(hunk.oldStart, hunk.oldStart + hunk.oldCount));
  }
  return now.join("\n");
}

/** The line, counted from 1, at which each hunk begins in the text with those that were rejected put back. */
export function linesOf(hunks: readonly Hunk[], decisions: readonly Decision[]): number[] {
  let shift = 0;
  return hunks.map((hunk, at) => {
    const line = hunk.newStart + shift + 1;
    if (decisions[at] === "rejected") shift += hunk.oldCount - hunk.newCount;
    return line;
  });
}

/** The next hunk that nobody has decided about, from one on and around the end; -1 where there is none. */
export function nextOpen(decisions: readonly Decision[], from: number): number {
  for (let step = 1; step <= decisions.length; step += 1) {
    const at = (from + step) % decisions.length;
    if (decisions[at] === "open") return at;
  }
  return -1;
}
