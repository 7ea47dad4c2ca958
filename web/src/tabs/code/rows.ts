// The rows of the file tree: what is visible of it, in order, and what keys and names find in it.
import { EntryKind, type Entry } from "../../gen/devstudio/sandbox/v1/workspace_pb";

/** A visible row. Positions count from 1 among the row's siblings, as screen readers say them. */
export interface Row { path: string; name: string; folder: boolean; open: boolean; level: number; at: number; of: number; entry: Entry | undefined }

export const parentOf = (path: string) => (path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "");
export const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
export const joined = (folder: string, name: string) => (folder ? `${folder}/${name}` : name);
export const within = (path: string, folder: string) => folder === "" || path === folder || path.startsWith(`${folder}/`);
/** The folders above a path, the topmost first. */
export const foldersAbove = (path: string) => path.split("/").slice(0, -1).map((_, i, parts) => parts.slice(0, i + 1).join("/"));

type Children = Map<string, { path: string; folder: boolean }[]>;
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** The children of each folder: folders first, then by name. */
export function childrenOf(entries: Map<string, Entry>): Children {
  const children: Children = new Map([["", []]]);
  const known = new Set<string>();
  const add = (path: string, folder: boolean): void => {
    if (known.has(path)) return;
    known.add(path);
    const parent = parentOf(path);
    if (parent !== "") add(parent, true);
    if (folder && !children.has(path)) children.set(path, []);
    const siblings = children.get(parent) ?? [];
    siblings.push({ path, folder });
    children.set(parent, siblings);
  };
  for (const entry of entries.values()) add(entry.path, entry.kind === EntryKind.FOLDER);
  for (const siblings of children.values()) siblings.sort((a, b) => Number(b.folder) - Number(a.folder) || collator.compare(a.path, b.path));
  return children;
}

/** The visible rows: folders that are open show what is in them. */
export function visibleRows(children: Children, entries: Map<string, Entry>, open: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const walk = (folder: string, level: number): void => {
    const siblings = children.get(folder) ?? [];
    siblings.forEach(({ path, folder: isFolder }, i) => {
      const isOpen = isFolder && open.has(path);
      rows.push({ path, name: nameOf(path), folder: isFolder, open: isOpen, level, at: i + 1, of: siblings.length, entry: entries.get(path) });
      if (isOpen) walk(path, level + 1);
    });
  };
  walk("", 0);
  return rows;
}

/** The next row whose name begins with what was typed; one letter again and again walks through. */
export function typedRow(rows: Row[], from: number, typed: string): number {
  const text = typed.toLowerCase();
  const same = [...text].every((letter) => letter === text[0]);
  const wanted = same ? text.slice(0, 1) : text;
  for (let step = same ? 1 : 0; step <= rows.length; step += 1) {
    const at = (from + step) % rows.length;
    if (rows[at]?.name.toLowerCase().startsWith(wanted)) return at;
  }
  return -1;
}

/** A free name beside a path for its copy, such as "main copy 2.py". */
export function copyName(path: string, word: string, taken: (path: string) => boolean): string {
  const name = nameOf(path);
  const dot = name.lastIndexOf(".");
  const [stem, end] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  for (let n = 1; ; n += 1) {
    const candidate = joined(parentOf(path), `${stem} ${word}${n > 1 ? ` ${n}` : ""}${end}`);
    if (!taken(candidate)) return candidate;
  }
}

/** A folder of a path is that path itself, or lies in it. */
export const intoItself = (path: string, folder: string): boolean => folder !== "" && within(folder, path);

/** Where a dragged path ends up in a folder; null where that would change nothing or cannot be. */
export function dropTarget(from: string, folder: string): string | null {
  if (intoItself(from, folder)) return null;
  return parentOf(from) === folder ? null : joined(folder, nameOf(from));
}

/** How many files lie at or below a path. */
export const filesIn = (entries: Map<string, Entry>, path: string) => [...entries.values()].filter((e) => e.kind !== EntryKind.FOLDER && within(e.path, path)).length;
