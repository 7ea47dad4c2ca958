// What is asked of archives, from wherever: one goes into the workspace, or one is made of it.
import { create } from "zustand";

/** An archive that is to be imported into a folder; the file is chosen later where none is given. */
export interface Importing { kind: "import"; folder: string; file: File | null }
/** A workspace, a folder of it or a snapshot that is to be downloaded. */
export interface Exporting { kind: "export"; path: string; snapshotId: string; format: "zip" | "tar.gz"; name: string }

export const useArchives = create<{ asked: Importing | Exporting | null }>(() => ({ asked: null }));

export const askImport = (folder = "", file: File | null = null): void => useArchives.setState({ asked: { kind: "import", folder, file } });
export const askExport = (format: Exporting["format"], name: string, path = "", snapshotId = ""): void => useArchives.setState({ asked: { kind: "export", format, name, path, snapshotId } });
export const endArchive = (): void => useArchives.setState({ asked: null });

/** A file whose name says that it is an archive that can be imported. */
export const isArchive = (name: string): boolean => /\.(zip|tar|tar\.gz|tgz)$/i.test(name);
