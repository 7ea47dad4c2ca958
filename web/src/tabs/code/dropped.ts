// The files in what was dropped or chosen, folders walked through, each with its path below where it goes.

/** A file, or with null an empty folder. */
export interface Dropped { path: string; file: File | null }

/** All files of a drop. What it holds is read before the first await, since the browser forgets it after the event. */
export function filesOfDrop({ items, files }: DataTransfer): Promise<Dropped[]> {
  const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry());
  const plain = entries.some((entry) => entry === null) || entries.length === 0;
  const given = [...files].map((file): Dropped => ({ path: file.name, file }));
  return plain ? Promise.resolve(given) : Promise.all(entries.map((entry) => (entry ? walk(entry) : []))).then((all) => all.flat());
}

/** All files of an input; of one for folders, with the path from the chosen folder on. */
export const filesOfInput = (files: FileList): Dropped[] => [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

async function walk(entry: FileSystemEntry, above = ""): Promise<Dropped[]> {
  const path = above + entry.name;
  if (entry.isFile) return [{ path, file: await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)) }];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const inside: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives some at a time, and none when there are no more.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    inside.push(...some);
  }
  if (inside.length === 0) return [{ path, file: null }];
  const found: Dropped[] = [];
  for (const child of inside) found.push(...(await walk(child, `${path}/`)));
  return found;
}
