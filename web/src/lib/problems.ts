// Finds what compilers, interpreters and test runners complain about in their output, with its place.

/** A complaint about a place in a file. Columns count from 1; 1 also where none was told. */
export interface Problem { severity: "error" | "warning"; path: string; line: number; column: number; message: string; source: string }

/** So many lines of an output are worth reading, from its end. */
export const LINES_READ = 5_000;
/** More complaints than these are not listed. */
export const MOST_PROBLEMS = 200;
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g; // oxlint-disable-line no-control-regex

/** A text without its terminal colours and titles. */
export const bare = (text: string): string => text.replace(escapes, "");

interface Reader { lines: string[]; found: Map<string, Problem> }
/** Reads at a line; gives how many lines it took, 0 for none. */
type Rule = (reader: Reader, at: number) => number;

/** The complaints of an output, in their order, each once; where there are very many, the first ones. */
export function parseProblems(output: string): Problem[] {
  const reader: Reader = { lines: bare(output).split(/\r?\n/), found: new Map() };
  for (let at = 0; at < reader.lines.length && reader.found.size < MOST_PROBLEMS;) {
    let took = 0;
    for (const rule of rules) {
      took = rule(reader, at);
      if (took > 0) break;
    }
    at += Math.max(1, took);
  }
  return [...reader.found.values()];
}

/** The file of the workspace that a path in an output means; programs see it at a place of their own. */
export function fileOf(path: string, files: ReadonlySet<string>): string | undefined {
  let end = path.replace(/^file:\/\//, "").replace(/^\.\//, "");
  // The longest end that is a file.
  while (!files.has(end)) {
    const slash = end.indexOf("/");
    if (slash < 0) return undefined;
    end = end.slice(slash + 1);
  }
  return end;
}

function add({ found }: Reader, source: string, severity: Problem["severity"], told: string, line: string | number, column: string | number | undefined, message: string): void {
  const problem: Problem = { source, severity, path: told.replace(/^file:\/\//, ""), line: Number(line), column: Math.max(1, Number(column ?? 1)), message: message.trim() };
  const key = `${problem.path}:${problem.line}:${problem.column}:${problem.message}`;
  if (!found.has(key)) found.set(key, problem);
}
const level = (word: string): Problem["severity"] => (/warn/i.test(word) ? "warning" : "error");

/** `error[E0308]: mismatched types`, and below ` --> src/main.rs:4:18`. */
const rust: Rule = (reader, at) => {
  const head = /^(error|warning)(?:\[(\w+)\])?: (.+)$/.exec(reader.lines[at] ?? "");
  const place = head && /^\s*--> (.+?):(\d+):(\d+)$/.exec(reader.lines[at + 1] ?? "");
  if (!head || !place) return 0;
  add(reader, "rustc", level(head[1] ?? ""), place[1] ?? "", place[2] ?? 0, place[3], [head[3], head[2]].filter(Boolean).join(" · "));
  return 2;
};

/** `thread 'main' panicked at src/main.rs:3:5:`, and the message on the next line. */
const panic: Rule = (reader, at) => {
  const found = /^thread '.*?'(?: \(\d+\))? panicked at (.+?):(\d+):(\d+):$/.exec(reader.lines[at] ?? "");
  if (!found) return 0;
  add(reader, "rust", "error", found[1] ?? "", found[2] ?? 0, found[3], reader.lines[at + 1] ?? "");
  return 2;
};

/** `main.c:3:5: error: …` of gcc and clang. */
const gcc: Rule = (reader, at) => {
  const found = /^([^\s:][^:\n]*):(\d+):(?:(\d+):)? (fatal error|error|warning): (.+)$/.exec(reader.lines[at] ?? "");
  if (!found) return 0;
  add(reader, "gcc", level(found[4] ?? ""), found[1] ?? "", found[2] ?? 0, found[3], found[5] ?? "");
  return 1;
};

/** `src/a.ts(3,5): error TS2304: …`, and the coloured form with colons. */
const tsc: Rule = (reader, at) => {
  const found = /^(.+?)(?:\((\d+),(\d+)\): |:(\d+):(\d+) - )(error|warning) (TS\d+): (.+)$/.exec(reader.lines[at] ?? "");
  if (!found) return 0;
  add(reader, "tsc", level(found[6] ?? ""), found[1] ?? "", found[2] ?? found[4] ?? 0, found[3] ?? found[5], `${found[8]} · ${found[7]}`);
  return 1;
};

/** `./main.go:3:5: …` of go. */
const go: Rule = (reader, at) => {
  const found = /^(?:\.\/)?([^\s:]+\.go):(\d+):(\d+): (.+)$/.exec(reader.lines[at] ?? "");
  if (!found) return 0;
  add(reader, "go", "error", found[1] ?? "", found[2] ?? 0, found[3], found[4] ?? "");
  return 1;
};

/** Node's report of what nobody caught: place, source line, caret, and after an empty line the error. */
const node: Rule = (reader, at) => {
  const place = /^((?:file:\/\/)?\/.+|[\w.-][^\s:]*\.[cm]?[jt]sx?):(\d+)$/.exec(reader.lines[at] ?? "");
  const caret = /^(\s*)\^+\s*$/.exec(reader.lines[at + 2] ?? "");
  if (!place || !caret) return 0;
  for (let i = at + 3; i < Math.min(at + 8, reader.lines.length); i += 1) {
    const message = reader.lines[i] ?? "";
    if (message.trim() === "") continue;
    add(reader, "node", "error", place[1] ?? "", place[2] ?? 0, (caret[1]?.length ?? 0) + 1, message.replace(/^Uncaught /, ""));
    return i - at + 1;
  }
  return 0;
};

/** `TypeError: …`, and below `    at f (/path/a.js:3:7)`; the first place that is not inside of Node. */
const stack: Rule = (reader, at) => {
  const message = /^(?:Uncaught )?((?:[A-Z]\w*)?Error(?: \[\w+\])?: .+)$/.exec(reader.lines[at] ?? "");
  if (!message || !/^\s+at /.test(reader.lines[at + 1] ?? "")) return 0;
  let end = at + 1;
  for (; /^\s+at /.test(reader.lines[end] ?? ""); end += 1) {
    const frame = /(?:\(|at )((?:file:\/\/)?\/[^():]+):(\d+):(\d+)\)?$/.exec(reader.lines[end] ?? "");
    if (frame && !frame[1]?.includes("node_modules")) {
      add(reader, "node", "error", frame[1] ?? "", frame[2] ?? 0, frame[3], message[1] ?? "");
      break;
    }
  }
  return end - at;
};

/** Python's traceback: the innermost place in one's own files, and the last line says why. */
const python: Rule = (reader, at) => {
  if (!/^Traceback \(most recent call last\):$|^ {2}File ".+", line \d+$/.test(reader.lines[at] ?? "")) return 0;
  let place: RegExpExecArray | undefined;
  for (let i = at; i < reader.lines.length; i += 1) {
    const text = reader.lines[i] ?? "";
    const frame = /^ {2}File "(.+)", line (\d+)/.exec(text);
    if (frame && (place === undefined || !/^<|\/(?:site|dist)-packages\/|\/lib\/python\d/.test(frame[1] ?? ""))) place = frame;
    if (i > at && text !== "" && !/^\s/.test(text)) {
      if (!place || text.startsWith("Traceback")) return 0;
      add(reader, "python", "error", place[1] ?? "", place[2] ?? 0, 1, text);
      return i - at + 1;
    }
  }
  return 0;
};

/** `tests/test_a.py:14: AssertionError` of pytest, whose reason and test stand above. */
const pytest: Rule = (reader, at) => {
  const found = /^(\S+\.py):(\d+): (\w+)$/.exec(reader.lines[at] ?? "");
  if (!found) return 0;
  let reason = found[3] ?? "";
  for (let i = at - 1; i >= 0 && i > at - 400; i -= 1) {
    const text = reader.lines[i] ?? "";
    const said = /^E {3,}(.+)$/.exec(text)?.[1];
    const test = /^_{3,} (.+?) _{3,}$/.exec(text)?.[1];
    if (said) reason = said;
    if (test) {
      reason = `${test}: ${reason}`;
      break;
    }
  }
  add(reader, "pytest", "error", found[1] ?? "", found[2] ?? 0, 1, reason);
  return 1;
};

/** `run.sh: line 3: …` of bash, and `… at run.pl line 3.` of perl. */
const scripts: Rule = (reader, at) => {
  const text = reader.lines[at] ?? "";
  const bash = /^(\S+): line (\d+): (.+)$/.exec(text);
  if (bash) add(reader, "bash", "error", bash[1] ?? "", bash[2] ?? 0, 1, bash[3] ?? "");
  const perl = /^(.+) at (\S+\.p[lm]) line (\d+)(?:, near ".*)?\.?$/.exec(text);
  if (perl) add(reader, "perl", "error", perl[2] ?? "", perl[3] ?? 0, 1, perl[1] ?? "");
  return bash || perl ? 1 : 0;
};

const rules: Rule[] = [rust, panic, tsc, gcc, go, node, stack, python, pytest, scripts];
