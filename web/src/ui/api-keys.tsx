// API keys of a person: made, shown once, revoked.
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Copy, KeyRound, Plus } from "lucide-react";
import { useState, type FormEvent } from "react";
import { explain } from "../api/errors";
import { refetch } from "../api/query";
import { AuthService, type ApiKey } from "../gen/devstudio/auth/v1/auth_pb";
import { ago, date } from "../lib/format";
import { m } from "../paraglide/messages";
import { Button } from "./button";
import { copyText } from "./copy";
import { Confirm, Dialog, DialogBody, DialogFoot } from "./dialog";
import { FaultLine } from "./fault";
import { Field, Input } from "./field";
import { Select } from "./select";
import { Tag, Waiting } from "./tag";

/** The keys of a person; of oneself when no id is given. */
export function ApiKeys({ userId = "" }: { userId?: string }) {
  const keys = useQuery(AuthService.method.listApiKeys, { userId });
  const revoke = useMutation(AuthService.method.revokeApiKey);
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const list = keys.data?.apiKeys ?? [];
  return (
    <div>
      {keys.isPending && <Waiting rows={2} height={44} label={m.loading()} />}
      {keys.error && !keys.data && <div className="p-3"><FaultLine fault={explain(keys.error)}><Button small onClick={() => void keys.refetch()}>{m.try_again()}</Button></FaultLine></div>}
      {keys.data && list.length === 0 && <p className="px-4 py-3 text-sm">{m.keys_none()}</p>}
      <ul>
        {list.map((key) => (
          <li key={key.keyId} className="flex min-h-13 items-center gap-3 border-b border-line px-4 py-1.5 text-sm">
            <KeyRound size={14} aria-hidden className="shrink-0 text-fg-3" />
            <div className="min-w-0 flex-1">
              <p className="truncate"><span className="text-fg">{key.name}</span> <span className="font-code ml-1 text-xs">{key.prefix}…{key.lastFour}</span></p>
              <p className="truncate text-xs text-fg-3">{key.lastUsedAt ? m.key_used({ ago: ago(timestampMs(key.lastUsedAt)) }) : m.key_unused()}{key.expiresAt && !key.revokedAt ? ` · ${m.key_until({ date: date(timestampMs(key.expiresAt)) })}` : ""}</p>
            </div>
            {key.revokedAt ? <Tag>{m.key_revoked()}</Tag> : <Button small tone="danger-quiet" onClick={() => setRevoking(key)} aria-label={m.key_revoke_named({ name: key.name })}>{m.key_revoke()}</Button>}
          </li>
        ))}
      </ul>
      <div className="px-4 py-3"><Button small icon={Plus} onClick={() => setMaking(true)}>{m.key_new()}</Button></div>
      {making && <NewKey userId={userId} onClose={() => setMaking(false)} />}
      <Confirm
        open={revoking !== null}
        onClose={() => setRevoking(null)}
        title={m.key_revoke_title({ key: revoking?.prefix ?? "", name: revoking?.name ?? "" })}
        about={m.key_revoke_about()}
        verb={m.key_revoke()}
        onConfirm={async () => {
          if (revoking) await revoke.mutateAsync({ keyId: revoking.keyId });
          refetch(AuthService.method.listApiKeys);
        }}
      />
    </div>
  );
}

function NewKey({ userId, onClose }: { userId: string; onClose: () => void }) {
  const make = useMutation(AuthService.method.createApiKey, { onSuccess: () => refetch(AuthService.method.listApiKeys) });
  const [days, setDays] = useState("0");
  const fault = make.error ? explain(make.error) : null;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const budget = String(data.get("budget") ?? "").trim();
    make.mutate({
      userId,
      name: String(data.get("name")).trim(),
      ...(budget ? { tokenBudget: BigInt(Math.max(0, Math.floor(Number(budget)))) } : {}),
      ...(days === "0" ? {} : { expiresAt: timestampFromMs(Date.now() + Number(days) * 86_400_000) }),
    });
  };
  if (make.data) {
    const { key } = make.data;
    return (
      <Dialog open onClose={onClose} title={m.key_made()} about={m.key_once()}>
        <DialogBody><p className="font-code text-code rounded-ctl border border-line-2 bg-editor px-3 py-2 break-all text-fg select-all" data-testid="new-key">{key}</p></DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.done()}</Button><Button tone="primary" icon={Copy} onClick={() => copyText(key)}>{m.key_copy()}</Button></DialogFoot>
      </Dialog>
    );
  }
  return (
    <Dialog open onClose={onClose} title={m.key_new()} about={m.key_new_about()}>
      <form onSubmit={submit}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.name()} error={fault?.reason === "ALREADY_EXISTS" ? m.key_name_taken() : fault?.fields["name"]}>{(p) => <Input {...p} name="name" required maxLength={80} autoFocus placeholder="CI" />}</Field>
          <Field label={m.key_budget()} hint={m.key_budget_hint()}>{(p) => <Input {...p} name="budget" type="number" min={0} step={1} inputMode="numeric" />}</Field>
          <Field label={m.key_expiry()}>{(p) => <Select {...p} value={days} onChange={setDays} options={[{ value: "0", label: m.never() }, ...["30", "90", "365"].map((d) => ({ value: d, label: m.in_days({ days: d }) }))]} />}</Field>
          {fault && fault.reason !== "ALREADY_EXISTS" && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.cancel()}</Button><Button type="submit" tone="primary" busy={make.isPending}>{m.key_create()}</Button></DialogFoot>
      </form>
    </Dialog>
  );
}
