// One person: budget, grant, limit, keys, role, password, block.
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { Plus, X } from "lucide-react";
import { useState, type FormEvent } from "react";
import { toast } from "../../ui/toast";
import { tried } from "../../ui/tried";
import { explain, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { useSession } from "../../api/session";
import { AuthService, Role, type User } from "../../gen/devstudio/auth/v1/auth_pb";
import { BillingService, Scope } from "../../gen/devstudio/billing/v1/billing_pb";
import { number, percent, thisMonth } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { ApiKeys } from "../../ui/api-keys";
import { Button, IconButton } from "../../ui/button";
import { Confirm, Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";
import { Avatar, Meter, Waiting } from "../../ui/tag";
import { makePassword } from "./add-user";

type Asking = "grant" | "limit" | "password" | "block" | "role" | null;

export function Person({ user, onClose }: { user: User; onClose?: () => void }) {
  const me = useSession((s) => s.user?.userId === user.userId);
  const [asking, setAsking] = useState<Asking>(null);
  const name = user.displayName || user.email;
  const blocked = user.disabledAt !== undefined;
  const update = useMutation(AuthService.method.updateUser, { onSuccess: () => refetch(AuthService.method.listUsers) });
  const unblock = () => tried(async () => {
    await update.mutateAsync({ userId: user.userId, disabled: false });
    toast.success(m.user_unblocked({ name }));
  });
  const nextRole = user.role === Role.ADMIN ? Role.DEV : Role.ADMIN;
  const nextRoleName = nextRole === Role.ADMIN ? "admin" : "dev";
  return (
    <div>
      {onClose && (
        <div className="flex items-center gap-3 border-b border-line p-4">
          <Avatar name={name} large />
          <div className="min-w-0 flex-1"><h3 className="truncate text-sm font-semibold text-fg">{name}</h3><p className="truncate text-xs text-fg-3">{user.email}</p></div>
          <IconButton label={m.close()} icon={X} onClick={onClose} />
        </div>
      )}
      <BudgetPart userId={user.userId} onGrant={() => setAsking("grant")} onLimit={() => setAsking("limit")} />
      <div className="border-b border-line"><h4 className="label px-4 pt-3 pb-1">{m.keys()}</h4><ApiKeys userId={user.userId} /></div>
      <div className="flex flex-wrap gap-2 p-4">
        {!me && <Button small onClick={() => setAsking("role")}>{m.role_change()}</Button>}
        <Button small onClick={() => setAsking("password")}>{m.password_reset()}</Button>
        {!me && (blocked ? <Button small onClick={() => void unblock()}>{m.unblock_named({ name })}</Button> : <Button small tone="danger-quiet" onClick={() => setAsking("block")}>{m.block_named({ name })}</Button>)}
      </div>
      {asking === "grant" && <Grant user={user} name={name} onClose={() => setAsking(null)} />}
      {asking === "limit" && <Limit user={user} name={name} onClose={() => setAsking(null)} />}
      {asking === "password" && <ResetPassword user={user} name={name} onClose={() => setAsking(null)} />}
      <Confirm open={asking === "block"} onClose={() => setAsking(null)} title={m.block_title({ name })} about={m.block_about()} verb={m.block_named({ name })} onConfirm={() => update.mutateAsync({ userId: user.userId, disabled: true })} />
      <Confirm open={asking === "role"} onClose={() => setAsking(null)} title={m.role_title({ name, role: nextRoleName })} about={nextRole === Role.ADMIN ? m.role_admin_about() : m.role_dev_about()} verb={m.role_verb({ role: nextRoleName })} onConfirm={() => update.mutateAsync({ userId: user.userId, role: nextRole })} />
    </div>
  );
}

function BudgetPart({ userId, onGrant, onLimit }: { userId: string; onGrant: () => void; onLimit: () => void }) {
  const query = useQuery(BillingService.method.getBudget, { userId });
  const budget = query.data?.budgets[0];
  const limit = budget?.monthlyLimit === undefined ? null : budget.monthlyLimit + budget.granted;
  const share = budget && limit ? Number(budget.used) / Number(limit) : 0;
  return (
    <div className="border-b border-line p-4">
      {query.isPending && <Waiting rows={1} label={m.loading()} />}
      {query.error && !query.data && <FaultLine fault={explain(query.error)} />}
      {budget && (
        <>
          <div className="flex items-baseline justify-between gap-2 text-sm"><span className="label">{m.budget_month({ month: thisMonth() })}</span><span className="nums text-fg">{number(budget.used)}{limit !== null && ` / ${number(limit)}`}</span></div>
          {limit !== null && <Meter share={share} label={m.budget_used()} className="my-2" />}
          <p className={share >= 0.96 ? "text-xs text-err" : share >= 0.8 ? "text-xs text-warn" : "text-xs text-fg-3"}>{limit === null ? m.budget_unbounded() : m.budget_share({ share: percent(share), left: number(budget.remaining ?? 0n) })}{budget.granted > 0n && ` · ${m.budget_granted({ tokens: number(budget.granted) })}`}</p>
        </>
      )}
      <div className="mt-3 flex flex-wrap gap-2"><Button small icon={Plus} onClick={onGrant}>{m.grant()}</Button><Button small onClick={onLimit}>{m.limit_change()}</Button></div>
    </div>
  );
}

function Ask({ title, about, label, hint, verb, initial, min, required, onClose, onSend }: { title: string; about: string; label: string; hint?: string; verb: string; initial: string; min?: number; required?: boolean; onClose: () => void; onSend: (text: string) => Promise<unknown> }) {
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget).get("value")).trim();
    setBusy(true);
    setFault(null);
    try {
      await onSend(text);
      onClose();
    } catch (cause) {
      setFault(explain(cause));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={title} about={about}>
      <form onSubmit={(event) => void submit(event)}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={label} hint={hint}>{(p) => <Input {...p} name="value" type="number" step={1} min={min} defaultValue={initial} required={required} inputMode="numeric" autoFocus />}</Field>
          {fault && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.cancel()}</Button><Button type="submit" tone="primary" busy={busy}>{verb}</Button></DialogFoot>
      </form>
    </Dialog>
  );
}

function Grant({ user, name, onClose }: { user: User; name: string; onClose: () => void }) {
  const grant = useMutation(BillingService.method.grantTokens);
  return <Ask title={m.grant_title({ name })} about={m.grant_about()} label={m.tokens()} hint={m.grant_hint()} verb={m.grant()} initial="100000" required onClose={onClose} onSend={async (text) => { await grant.mutateAsync({ userId: user.userId, tokens: BigInt(text) }); refetch(BillingService.method.getBudget); toast.success(m.granted({ tokens: number(BigInt(text)), name })); }} />;
}

function Limit({ user, name, onClose }: { user: User; name: string; onClose: () => void }) {
  const set = useMutation(BillingService.method.setLimit);
  const budget = useQuery(BillingService.method.getBudget, { userId: user.userId }).data?.budgets[0];
  return <Ask title={m.limit_title({ name })} about={m.limit_about()} label={m.limit_tokens()} hint={m.limit_hint()} verb={m.limit_set()} min={0} initial={budget?.monthlyLimit === undefined ? "" : String(budget.monthlyLimit)} onClose={onClose} onSend={async (text) => { await set.mutateAsync({ scope: Scope.USER, subjectId: user.userId, ...(text === "" ? {} : { monthlyLimit: BigInt(text) }) }); refetch(BillingService.method.getBudget); }} />;
}

function ResetPassword({ user, name, onClose }: { user: User; name: string; onClose: () => void }) {
  const update = useMutation(AuthService.method.updateUser);
  const [password, setPassword] = useState(makePassword);
  const fault = update.error ? explain(update.error) : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    update.mutate({ userId: user.userId, password }, { onSuccess: () => { toast.success(m.password_reset_done({ name })); onClose(); } });
  };
  return (
    <Dialog open onClose={onClose} title={m.password_reset_title({ name })} about={m.password_reset_about()}>
      <form onSubmit={submit}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.password_new()} hint={m.password_rule()} error={fault?.reason === "PASSWORD_LENGTH" ? fault.title : undefined}>{(p) => <Input {...p} mono value={password} onChange={(event) => setPassword(event.target.value)} required minLength={8} maxLength={72} autoComplete="new-password" />}</Field>
          {fault && fault.reason !== "PASSWORD_LENGTH" && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.cancel()}</Button><Button type="submit" tone="primary" busy={update.isPending}>{m.password_reset()}</Button></DialogFoot>
      </form>
    </Dialog>
  );
}
