// Makes a file or a folder, with the folders above it.
import { useState, type FormEvent } from "react";
import { explain, type Fault } from "../../api/errors";
import { workspace } from "../../api/workspace";
import { here } from "../../lib/place";
import { showFile, useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";
import { foldersAbove } from "./rows";

/** What is to be made, and where. */
export interface Creating { kind: "file" | "folder"; folder: string }

export function NewEntry({ creating, taken, onClose, onCreated }: { creating: Creating; taken: (path: string) => boolean; onClose: () => void; onCreated: () => void }) {
  const { kind, folder } = creating;
  const [path, setPath] = useState(folder ? `${folder}/` : "");
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const clean = path.trim().replace(/^\/+|\/+$/g, "");
  const exists = taken(clean);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (clean === "" || exists) return;
    setBusy(true);
    setFault(null);
    try {
      if (kind === "folder") await workspace.makeFolder({ workspaceId: here(), path: clean });
      else await workspace.writeFile({ workspaceId: here(), path: clean, content: { case: "text", value: "" }, ifVersion: 0n });
      useWorkbench.setState(({ expanded }) => ({ expanded: [...new Set([...expanded, ...foldersAbove(clean)])] }));
      if (kind === "file") showFile(clean);
      onCreated();
      onClose();
    } catch (cause) {
      setFault(explain(cause));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={kind === "file" ? m.file_new() : m.folder_new()}>
      <form onSubmit={(event) => void submit(event)}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={kind === "file" ? m.file_path() : m.folder_path()} hint={kind === "file" ? m.file_path_hint() : m.folder_hint()} error={exists ? m.path_taken({ path: clean }) : undefined}>
            {(p) => <Input {...p} mono autoFocus value={path} onChange={(event) => setPath(event.target.value)} maxLength={1024} autoCapitalize="off" autoCorrect="off" spellCheck={false} placeholder={kind === "file" ? "src/main.py" : "src"} />}
          </Field>
          {fault && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone="primary" busy={busy} disabled={clean === "" || exists}>{kind === "file" ? m.file_create() : m.folder_create()}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
