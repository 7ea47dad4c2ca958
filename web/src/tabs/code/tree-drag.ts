// Dragging in the tree: where a drop would go, folders that open when one waits over them, and what is dropped.
import { useEffect, useRef, useState, type DragEvent } from "react";
import { askImport, isArchive } from "../../lib/archives";
import { m } from "../../paraglide/messages";
import { toast } from "../../ui/toast";
import { tried } from "../../ui/tried";
import { filesOfDrop } from "./dropped";
import { dropTarget, intoItself } from "./rows";
import { moveInto, refused } from "./tree-actions";
import type { Uploading } from "./upload";

/** What a dragged row carries: its path. */
export const DRAGGED = "application/x-devstudio-path";
const OPEN_MS = 600;

interface Options { onUpload: (uploading: Uploading) => void; onOpen: (folder: string) => void }

/** The folder that a drop would go to (null: none; empty: the top), and the handlers of rows and of the tree. */
export function useTreeDrag({ onUpload, onOpen }: Options) {
  const [target, setTarget] = useState<string | null>(null);
  const dragged = useRef<string | null>(null);
  /** Where what is dragged would go into itself: the pointer forbids it, and the end of the drag says why. */
  const itself = useRef<string | null>(null);
  const waiting = useRef<{ folder: string; timer: ReturnType<typeof setTimeout> } | null>(null);
  const stopWaiting = () => {
    clearTimeout(waiting.current?.timer);
    waiting.current = null;
  };
  const end = () => {
    dragged.current = null;
    itself.current = null;
    stopWaiting();
    setTarget(null);
  };
  useEffect(() => stopWaiting, []);
  const over = (folder: string) => (event: DragEvent) => {
    const files = event.dataTransfer.types.includes("Files");
    if (!files && !event.dataTransfer.types.includes(DRAGGED)) return;
    event.stopPropagation();
    if (waiting.current?.folder !== folder) {
      stopWaiting();
      if (folder !== "") waiting.current = { folder, timer: setTimeout(() => onOpen(folder), OPEN_MS) };
    }
    itself.current = dragged.current !== null && intoItself(dragged.current, folder) ? folder : null;
    // Where a drop would change nothing there is no mark, and the pointer says so.
    if (!files && dragged.current !== null && dropTarget(dragged.current, folder) === null) return setTarget(null);
    event.preventDefault();
    event.dataTransfer.dropEffect = files ? "copy" : "move";
    setTarget(folder);
  };
  const drop = (folder: string) => (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    const path = event.dataTransfer.getData(DRAGGED);
    end();
    if (path) return void moveInto(path, folder);
    const [first, second] = event.dataTransfer.files;
    if (first && !second && isArchive(first.name)) return askImport(folder, first);
    void tried(async () => {
      const files = await filesOfDrop(event.dataTransfer);
      if (files.length > 0) onUpload({ folder, files });
      else toast.info(m.code_upload_none());
    });
  };
  const start = (path: string) => (event: DragEvent) => {
    dragged.current = path;
    event.dataTransfer.setData(DRAGGED, path);
    event.dataTransfer.effectAllowed = "move";
  };
  const leave = (event: DragEvent) => {
    if (event.currentTarget.contains(event.relatedTarget as Node | null)) return;
    stopWaiting();
    setTarget(null);
    // The browser also leaves what does not take the drop, just before the drag ends; then nothing is entered.
    if (event.relatedTarget !== null) itself.current = null;
  };
  const ended = () => {
    if (dragged.current !== null && itself.current !== null) refused(dragged.current, itself.current);
    end();
  };
  return { target, start, over, drop, ended, leave };
}
