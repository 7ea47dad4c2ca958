// A plan: what it would write, chosen file by file; then written all or none, and checked by running its commands.
import { ArrowLeft, Check, CircleAlert, CircleCheck, FolderOpen, History, LayoutTemplate, Square } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { provision } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { PlanState, ProvisionService, type PreviewPlanResponse, type VerifiedCommand } from "../../gen/devstudio/agent/v1/provision_pb";
import { number } from "../../lib/format";
import { go } from "../../lib/nav";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Confirm, Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Field, Input } from "../../ui/field";
import { Card } from "../../ui/page";
import { Patch } from "../../ui/patch";
import { Tag, type Tone } from "../../ui/tag";
import { toast } from "../../ui/toast";
import { restoreNow } from "../code/snapshot-actions";

interface Checked { command: VerifiedCommand; repairs: number }

const words: Record<PlanState, { name: () => string; tone: Tone }> = {
  [PlanState.UNSPECIFIED]: { name: m.setup_planned, tone: "plain" },
  [PlanState.PLANNED]: { name: m.setup_planned, tone: "plain" },
  [PlanState.APPLIED]: { name: m.setup_applied, tone: "warn" },
  [PlanState.VERIFIED]: { name: m.setup_verified, tone: "ok" },
  [PlanState.ROLLED_BACK]: { name: m.setup_rolled_back, tone: "err" },
};

export function PlanView({ planId, plan }: { planId: string; plan: PreviewPlanResponse }) {
  const [left, setLeft] = useState<string[]>([]);
  const [state, setState] = useState(plan.state);
  const [busy, setBusy] = useState<"" | "applying" | "checking">("");
  const [checked, setChecked] = useState<Checked[]>([]);
  const [fault, setFault] = useState<Fault | null>(null);
  const [restoring, setRestoring] = useState(false);
  const [keeping, setKeeping] = useState(false);
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);
  const chosen = plan.changes.map((change) => change.path).filter((path) => !left.includes(path));
  const check = async () => {
    const mine = new AbortController();
    control.current = mine;
    setBusy("checking");
    setFault(null);
    setChecked([]);
    try {
      for await (const told of provision.verifyPlan({ planId }, { signal: mine.signal })) {
        if (told.command) setChecked((before) => [...before, { command: told.command as VerifiedCommand, repairs: told.repairs }]);
        else setState(told.state);
      }
    } catch (cause) {
      if (!mine.signal.aborted) setFault(explain(cause));
    }
    setBusy("");
    refetch(ProvisionService.method.previewPlan, ProvisionService.method.listTemplates);
  };
  const apply = async () => {
    setBusy("applying");
    setFault(null);
    try {
      await provision.applyPlan({ planId, acceptedPaths: chosen });
      setState(PlanState.APPLIED);
    } catch (cause) {
      setFault(explain(cause));
      return setBusy("");
    }
    await check();
  };
  const planned = state === PlanState.PLANNED;
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <Button small tone="quiet" icon={ArrowLeft} onClick={() => go("/setup")}>{m.setup_back()}</Button>
        <h2 className="mr-auto text-xl font-semibold text-fg">{m.setup_plan_title()}</h2>
        <Tag tone={words[state].tone} dot>{words[state].name()}</Tag>
      </div>
      <p role="status" className="text-base">{state === PlanState.VERIFIED ? m.setup_verified_about() : state === PlanState.ROLLED_BACK ? m.setup_rolled_back_about() : state === PlanState.APPLIED ? m.setup_applied_about() : m.setup_planned_about()}</p>
      <ul aria-label={m.setup_files()} className="flex flex-col gap-2">
        {plan.changes.map((change) => (
          <li key={change.path} className="flex min-w-0 items-start gap-2.5">
            {planned && <input type="checkbox" checked={!left.includes(change.path)} disabled={busy !== ""} aria-label={m.setup_take({ path: change.path })} onChange={(event) => setLeft(event.target.checked ? left.filter((path) => path !== change.path) : [...left, change.path])} className="mt-2 size-4 shrink-0 accent-(--color-accent) max-tab:mt-3" />}
            <div className="min-w-0 flex-1">
              {change.diff ? <Patch path={change.path} diff={change.diff} open={planned} /> : <p className="font-code rounded-ctl border border-line bg-editor px-2 py-1.5 text-xs text-fg">{change.path} <span className="text-fg-3">· {m.setup_same()}</span></p>}
              {change.reason && <p className="mt-1 px-2 text-xs break-words text-fg-3">{change.reason}</p>}
            </div>
          </li>
        ))}
      </ul>
      <Card title={m.setup_checks()} aside={busy === "checking" ? <Tag tone="live" dot>{m.setup_checking()}</Tag> : undefined}>
        <ol className="flex flex-col">
          {checked.length === 0 && plan.commands.map((command) => <li key={command} className="font-code border-b border-line px-4 py-2 text-code break-words text-fg last:border-b-0">{command}</li>)}
          {checked.map(({ command, repairs }, index) => (
            <li key={index} className="border-b border-line px-4 py-2 last:border-b-0">
              <p className="flex items-start gap-1.5">
                {command.ok ? <CircleCheck size={16} aria-label={m.setup_ok()} className="mt-0.5 shrink-0 text-ok" /> : <CircleAlert size={16} aria-label={m.setup_failed()} className="mt-0.5 shrink-0 text-warn" />}
                <span className="font-code text-code min-w-0 flex-1 break-words text-fg">{command.command}</span>
                {repairs > 0 && <span className="nums shrink-0 text-xs text-fg-3">{m.setup_repair({ count: number(repairs) })}</span>}
              </p>
              {command.output && <pre tabIndex={0} aria-label={m.setup_output({ command: command.command })} className="font-code text-code mt-1 max-h-48 overflow-auto rounded-ctl border border-line bg-editor p-2 whitespace-pre-wrap break-words text-fg-2">{command.output}</pre>}
            </li>
          ))}
        </ol>
      </Card>
      {fault && <FaultLine fault={fault} />}
      <div className="flex flex-wrap items-center gap-2 pb-4">
        {planned && <Button tone="primary" icon={Check} busy={busy !== ""} disabled={chosen.length === 0} onClick={() => void apply()}>{m.setup_apply({ count: chosen.length, shown: number(chosen.length) })}</Button>}
        {state === PlanState.APPLIED && busy === "" && <Button tone="primary" icon={Check} onClick={() => void check()}>{m.setup_check()}</Button>}
        {busy === "checking" && <Button icon={Square} onClick={() => control.current?.abort()}>{m.stop()}</Button>}
        {!planned && state !== PlanState.ROLLED_BACK && busy === "" && <Button tone={state === PlanState.VERIFIED ? "primary" : "plain"} icon={FolderOpen} onClick={() => go("/code", { path: plan.changes[0]?.path })}>{m.setup_open()}</Button>}
        {state === PlanState.VERIFIED && busy === "" && <Button icon={LayoutTemplate} onClick={() => setKeeping(true)}>{m.setup_keep()}</Button>}
        {!planned && state !== PlanState.ROLLED_BACK && plan.snapshotId && busy === "" && <Button icon={History} onClick={() => setRestoring(true)}>{m.setup_restore()}</Button>}
      </div>
      <Confirm open={restoring} onClose={() => setRestoring(false)} title={m.setup_restore_title()} about={m.task_restore_about()} verb={m.setup_restore()} onConfirm={() => restoreNow(plan.snapshotId, [], plan.workspaceId)} />
      {keeping && <Keep planId={planId} onClose={() => setKeeping(false)} />}
    </>
  );
}

function Keep({ planId, onClose }: { planId: string; onClose: () => void }) {
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const keep = async () => {
    setBusy(true);
    try {
      await provision.keepTemplate({ planId, name: name.trim(), about: about.trim() });
      refetch(ProvisionService.method.listTemplates);
      toast.success(m.setup_kept({ name: name.trim() }));
      onClose();
    } catch (cause) {
      setFault(explain(cause));
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={onClose} title={m.setup_keep()} about={m.setup_keep_about()}>
      <form onSubmit={(event) => { event.preventDefault(); void keep(); }}>
        <DialogBody className="flex flex-col gap-3">
          <Field label={m.setup_template_name()}>{(p) => <Input {...p} autoFocus required maxLength={120} value={name} onChange={(event) => setName(event.target.value)} autoComplete="off" />}</Field>
          <Field label={m.setup_template_about()}>{(p) => <Input {...p} maxLength={400} value={about} onChange={(event) => setAbout(event.target.value)} autoComplete="off" />}</Field>
          {fault && <FaultLine fault={fault} />}
        </DialogBody>
        <DialogFoot>
          <Button onClick={onClose}>{m.cancel()}</Button>
          <Button type="submit" tone="primary" busy={busy} disabled={name.trim() === ""}>{m.setup_keep()}</Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
