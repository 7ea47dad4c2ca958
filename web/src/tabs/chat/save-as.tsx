// Puts a code block into a new file and opens it.
import { useState, type FormEvent } from "react";
import { explain, reasonOf, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { workspace } from "../../api/workspace";
import { WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { here } from "../../lib/place";
import { showFile } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";

export function SaveAs({ code, suggested, onClose }: { code: string; suggested: string; onClose: () => void }) {
  const [path, setPath] = useState(suggested);
  const [taken, setTaken] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault(null);
    setTaken(false);
    try {
      const written = await workspace.writeFile({ workspaceId: here(), path: path.trim(), content: { case: "text", value: code.endsWith("\n") ? code : `${code}\n` }, ifVersion: 0n });
      refetch(WorkspaceService.method.listFiles);
      onClose();
      showFile(written.path);
    } catch (cause) {
      if (reasonOf(cause) === "VERSION_CONFLICT") setTaken(true);
      else setFault(explain(cause));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={m.save_as_file()} about={m.save_as_file_about()}>
      <form onSubmit={(event) => void submit(event)}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.file_path()} error={taken ? m.path_taken({ path }) : undefined}>{(p) => <Input {...p} mono autoFocus required maxLength={1024} value={path} onChange={(event) => setPath(event.target.value)} spellCheck={false} autoCapitalize="off" />}</Field>
          {fault && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone="primary" busy={busy} disabled={path.trim() === ""}>{m.file_create()}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
