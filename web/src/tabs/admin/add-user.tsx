// Adds a person with a first password.
import { useMutation } from "@connectrpc/connect-query";
import { Dices } from "lucide-react";
import { useState, type FormEvent } from "react";
import { toast } from "../../ui/toast";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { AuthService, Role, type User } from "../../gen/devstudio/auth/v1/auth_pb";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";
import { Segmented } from "../../ui/segmented";

/** A password from the browser's generator. */
export function makePassword(): string {
  const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
  const most = 256 - (256 % letters.length);
  let out = "";
  while (out.length < 16) for (const byte of crypto.getRandomValues(new Uint8Array(32))) if (byte < most && out.length < 16) out += letters[byte % letters.length];
  return out;
}

export function AddUser({ onClose, onAdded }: { onClose: () => void; onAdded: (user: User) => void }) {
  const [role, setRole] = useState<"dev" | "admin">("dev");
  const [password, setPassword] = useState("");
  const add = useMutation(AuthService.method.createUser, {
    onSuccess: ({ user }) => {
      refetch(AuthService.method.listUsers);
      if (user) onAdded(user);
      toast.success(m.user_added({ name: user?.displayName || user?.email || "" }));
      onClose();
    },
  });
  const fault = add.error ? explain(add.error) : null;
  const own = ["ALREADY_EXISTS", "PASSWORD_LENGTH"].includes(fault?.reason ?? "");
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    add.mutate({ email: String(data.get("email")).trim(), displayName: String(data.get("name")).trim(), password, role: role === "admin" ? Role.ADMIN : Role.DEV });
  };
  return (
    <Dialog open onClose={onClose} title={m.user_add()} about={m.user_add_about()}>
      <form onSubmit={submit} autoComplete="off">
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.email()} error={fault?.reason === "ALREADY_EXISTS" ? m.user_exists() : fault?.fields["email"]}>{(p) => <Input {...p} name="email" type="email" required maxLength={254} autoFocus />}</Field>
          <Field label={m.name()}>{(p) => <Input {...p} name="name" maxLength={120} />}</Field>
          <Field label={m.password_first()} hint={m.password_rule()} error={fault?.reason === "PASSWORD_LENGTH" ? fault.title : undefined}>
            {(p) => <div className="flex gap-2"><Input {...p} mono value={password} onChange={(event) => setPassword(event.target.value)} required minLength={8} maxLength={72} autoComplete="new-password" /><IconButton tone="plain" label={m.password_make()} icon={Dices} className="size-8" onClick={() => setPassword(makePassword())} /></div>}
          </Field>
          <div className="flex flex-col items-start gap-1.5"><span className="label">{m.role()}</span><Segmented label={m.role()} value={role} onChange={setRole} options={[{ value: "dev", label: "dev" }, { value: "admin", label: "admin" }]} /></div>
          {fault && !own && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.cancel()}</Button><Button type="submit" tone="primary" busy={add.isPending}>{m.user_add()}</Button></DialogFoot>
      </form>
    </Dialog>
  );
}
