// The two sides of the editor: split, moved between, laid together. Apart from the workbench, since only the Code tab needs them.
import { noFiles, omit, openFile, useWorkbench, type Side, type Workbench } from "./workbench";

/** A side alone. */
const only = ({ open, active, preview }: Side): Side => ({ open, active, preview });
/** What a file's view is remembered by; the same file on both sides has two. */
export const viewKey = (path: string, right: boolean): string => `${right ? "right" : "left"}:${path}`;

/** The sides from left to right: one, or two where the editor is split. */
export const sidesOf = (w: Workbench): Side[] => (w.other === null ? [only(w)] : w.right ? [w.other, only(w)] : [only(w), w.other]);
/** A file is open on some side. */
export const isOpen = (w: Workbench, path: string): boolean => w.open.includes(path) || (w.other?.open.includes(path) ?? false);

/** Remembers the view of a file on a side. */
export function keepViewOf(path: string, right: boolean, view: unknown): void {
  useWorkbench.setState(({ views }) => ({ views: { ...views, [viewKey(path, right)]: view } }));
}

export const setAutosave = (autosave: boolean): void => { useWorkbench.setState({ autosave }); };

/** Gives a side the focus; true is the right one. */
export function focusSide(right: boolean): void {
  useWorkbench.setState((w) => (w.other === null || w.right === right ? {} : { ...w.other, other: only(w), right }));
}

/** Shows the active file on the other side too; splits the editor where it is not split yet. */
export function splitEditor(): void {
  const { active, other, right } = useWorkbench.getState();
  if (active === null) return;
  if (other) {
    focusSide(!right);
    openFile(active);
    return;
  }
  useWorkbench.setState((w) => ({ open: [active], active, preview: null, other: only(w), right: true }));
}

/** Moves a file from the side with the focus to another side; splits the editor where it is not split yet. */
export function moveAside(path: string, toRight: boolean): void {
  const w = useWorkbench.getState();
  if (!w.open.includes(path) || (w.other !== null && w.right === toRight)) return;
  const left = without(w, path);
  const target = w.other ?? noFiles;
  const moved: Side = { open: target.open.includes(path) ? target.open : [...target.open, path], active: path, preview: target.preview === path ? null : target.preview };
  useWorkbench.setState(left.open.length === 0 ? { ...moved, other: null, right: false } : { ...moved, other: left, right: toRight });
}

/** Lays both sides together, as on a narrow screen. */
export function joinSides(): void {
  useWorkbench.setState((w) => (w.other === null ? {} : { open: [...new Set(sidesOf(w).flatMap((side) => side.open))], active: w.active ?? w.other.active, other: null, right: false }));
}

/** Follows a rename of a file or folder. */
export function renamePaths(from: string, to: string): void {
  const moved = (path: string) => (path === from ? to : path.startsWith(`${from}/`) ? to + path.slice(from.length) : path);
  const side = ({ open, active, preview }: Side): Side => ({ open: open.map(moved), active: active && moved(active), preview: preview && moved(preview) });
  useWorkbench.setState((w) => ({
    ...side(w),
    other: w.other && side(w.other),
    views: Object.fromEntries(Object.entries(w.views).map(([key, view]) => [viewKey(moved(key.slice(key.indexOf(":") + 1)), key.startsWith("right:")), view])),
    expanded: w.expanded.map(moved),
    drafts: Object.fromEntries(Object.entries(w.drafts).map(([path, draft]) => [moved(path), draft])),
  }));
}

/** Closes a file on the side with the focus, or on both. Its draft goes with the last of it; a side without files goes. */
export function closeFile(path: string, everywhere = false): void {
  useWorkbench.setState((w) => {
    const own = without(w, path);
    const other = w.other && everywhere ? without(w.other, path) : w.other;
    const gone = !other?.open.includes(path);
    const keys = [viewKey(path, w.right), ...(gone ? [viewKey(path, !w.right)] : [])];
    const rest = {
      drafts: gone ? omit(w.drafts, [path]) : w.drafts,
      views: omit(w.views, keys),
    };
    if (other && own.open.length === 0) return { ...other, other: null, right: false, ...rest };
    return { ...own, other: other?.open.length === 0 ? null : other, right: other?.open.length === 0 ? false : w.right, ...rest };
  });
}

/** A side without a file; its neighbour is shown then. */
function without(side: Side, path: string): Side {
  const at = side.open.indexOf(path);
  if (at < 0) return only(side);
  const open = side.open.filter((p) => p !== path);
  return { open, active: side.active === path ? (open[Math.min(at, open.length - 1)] ?? null) : side.active, preview: side.preview === path ? null : side.preview };
}
