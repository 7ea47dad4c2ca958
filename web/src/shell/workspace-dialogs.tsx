// Makes, renames and deletes workspaces; a deletion wants the name typed.
import { useMutation } from "@connectrpc/connect-query";
import { useState, type FormEvent } from "react";
import { explain } from "../api/errors";
import { refetch } from "../api/query";
import { WorkspaceService, type Workspace } from "../gen/devstudio/sandbox/v1/workspace_pb";
import { m } from "../paraglide/messages";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../ui/dialog";
import { FaultLine } from "../ui/fault";
import { Field, Input } from "../ui/field";
import { Switch } from "../ui/switch";
import { toast } from "../ui/toast";

interface Props { asking: "create" | "rename" | "delete"; current: Workspace | undefined; title: string; onEnter: (workspaceId: string) => void; onSetUp: (workspaceId: string) => void; onClose: () => void }

export default function WorkspaceDialog({ asking, current, title, onEnter, onSetUp, onClose }: Props) {
  const [name, setName] = useState(asking === "rename" ? title : "");
  const [sets, setSets] = useState(true);
  const done = () => {
    refetch(WorkspaceService.method.listWorkspaces);
    onClose();
  };
  const make = useMutation(WorkspaceService.method.createWorkspace, { onSuccess: ({ workspaceId }) => { done(); (sets ? onSetUp : onEnter)(workspaceId); } });
  const rename = useMutation(WorkspaceService.method.renameWorkspace, { onSuccess: done });
  const remove = useMutation(WorkspaceService.method.deleteWorkspace, { onSuccess: () => { done(); onEnter(""); toast.success(m.workspace_deleted({ name: title })); } });
  const clean = name.trim();
  const { error, isPending } = { create: make, rename, delete: remove }[asking];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const workspaceId = current?.workspaceId ?? "";
    if (asking === "create") make.mutate({ name: clean });
    else if (asking === "rename") rename.mutate({ workspaceId, name: clean });
    else if (clean === title) remove.mutate({ workspaceId });
  };
  const words = {
    create: { head: m.workspace_new(), label: m.workspace_name(), verb: m.workspace_create() },
    rename: { head: m.workspace_rename_title({ name: title }), label: m.workspace_name(), verb: m.rename() },
    delete: { head: m.delete_title({ name: title }), label: m.workspace_type_name({ name: title }), verb: m.delete_verb({ name: title }) },
  }[asking];
  return (
    <Dialog open onClose={onClose} title={words.head} {...(asking === "delete" ? { about: m.workspace_delete_about() } : {})}>
      <form onSubmit={submit}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={words.label}>{(p) => <Input {...p} autoFocus required maxLength={200} value={name} onChange={(event) => setName(event.target.value)} autoComplete="off" spellCheck={false} />}</Field>
          {asking === "create" && <Switch label={m.workspace_sets_up()} about={m.workspace_sets_up_about()} checked={sets} onChange={setSets} />}
          {error && <FaultLine fault={explain(error)} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone={asking === "delete" ? "danger" : "primary"} busy={isPending} disabled={clean === "" || (asking === "delete" && clean !== title)}>{words.verb}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
