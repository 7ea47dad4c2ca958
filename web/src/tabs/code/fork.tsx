// Makes a new workspace from a snapshot, and goes there.
import { useMutation } from "@connectrpc/connect-query";
import { useState, type FormEvent } from "react";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { SnapshotService } from "../../gen/devstudio/sandbox/v1/snapshot_pb";
import { WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { go } from "../../lib/nav";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";

export function Fork({ snapshotId, from, onClose }: { snapshotId: string; from: string; onClose: () => void }) {
  const [name, setName] = useState("");
  const fork = useMutation(SnapshotService.method.forkWorkspace, {
    onSuccess: ({ workspaceId }) => {
      refetch(WorkspaceService.method.listWorkspaces);
      onClose();
      go("/code", { ws: workspaceId });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    fork.mutate({ workspaceId: here(), snapshotId, name: name.trim() });
  };
  return (
    <Dialog open onClose={onClose} title={m.fork_title({ name: from })} about={m.fork_about()}>
      <form onSubmit={submit}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.workspace_name()}>{(p) => <Input {...p} autoFocus required maxLength={200} value={name} onChange={(event) => setName(event.target.value)} />}</Field>
          {fork.error && <FaultLine fault={explain(fork.error)} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone="primary" busy={fork.isPending} disabled={name.trim() === ""}>{m.workspace_create()}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
