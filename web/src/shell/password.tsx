// Changes the person's own password.
import { useMutation } from "@connectrpc/connect-query";
import { useState, type FormEvent } from "react";
import { toast } from "../ui/toast";
import { explain } from "../api/errors";
import { AuthService } from "../gen/devstudio/auth/v1/auth_pb";
import { m } from "../paraglide/messages";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../ui/dialog";
import { FaultLine } from "../ui/fault";
import { Field, Input } from "../ui/field";

export default function ChangePassword({ onClose }: { onClose: () => void }) {
  const change = useMutation(AuthService.method.changePassword, {
    onSuccess: () => {
      toast.success(m.password_changed());
      onClose();
    },
  });
  const [again, setAgain] = useState("");
  const fault = change.error ? explain(change.error) : null;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const newPassword = String(data.get("new"));
    if (newPassword !== String(data.get("again"))) return setAgain(m.password_differs());
    setAgain("");
    change.mutate({ currentPassword: String(data.get("current")), newPassword });
  };
  return (
    <Dialog open onClose={() => { change.reset(); onClose(); }} title={m.password_change()} about={m.password_change_about()}>
      <form onSubmit={submit}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.password_current()} error={fault?.reason === "CREDENTIALS_INVALID" ? m.password_wrong() : undefined}>{(p) => <Input {...p} name="current" type="password" required autoComplete="current-password" />}</Field>
          <Field label={m.password_new()} hint={m.password_rule()} error={fault?.reason === "PASSWORD_LENGTH" ? fault.title : undefined}>{(p) => <Input {...p} name="new" type="password" required minLength={8} maxLength={72} autoComplete="new-password" />}</Field>
          <Field label={m.password_again()} error={again || undefined}>{(p) => <Input {...p} name="again" type="password" required autoComplete="new-password" />}</Field>
          {fault && !["CREDENTIALS_INVALID", "PASSWORD_LENGTH"].includes(fault.reason) && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone="primary" busy={change.isPending}>{m.password_change()}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
