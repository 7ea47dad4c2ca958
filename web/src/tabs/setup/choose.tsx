// What a workspace is, and what it can become: by a template, or by what the person wishes, planned by a model.
import { useQuery } from "@connectrpc/connect-query";
import { LayoutTemplate, Sparkles, Square, Trash2 } from "lucide-react";
import { useRef, useState } from "react";
import { provision } from "../../api/agents";
import { explain, type Fault } from "../../api/errors";
import { refetch } from "../../api/query";
import { ProvisionService, type EnvFacts, type Template } from "../../gen/devstudio/agent/v1/provision_pb";
import { number } from "../../lib/format";
import { go } from "../../lib/nav";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Textarea } from "../../ui/field";
import { Card } from "../../ui/page";
import { Tag, Waiting } from "../../ui/tag";
import { aboutOf, nameOf } from "./template-words";

export function Choose({ workspaceId }: { workspaceId: string }) {
  const facts = useQuery(ProvisionService.method.analyzeWorkspace, { workspaceId }, { staleTime: 0 });
  const [wish, setWish] = useState("");
  const [sought, setSought] = useState("");
  const templates = useQuery(ProvisionService.method.listTemplates, { workspaceId, wish: sought }, { staleTime: 0, placeholderData: (before) => before });
  const [making, setMaking] = useState<{ text: string; tokens: number } | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const control = useRef<AbortController | null>(null);
  const make = async (asked: { wish: string } | { templateId: string }) => {
    const mine = new AbortController();
    control.current = mine;
    setFault(null);
    setMaking({ text: "", tokens: 0 });
    try {
      for await (const told of provision.makePlan({ workspaceId, ...asked }, { signal: mine.signal })) {
        if (told.planId) return go("/setup", { plan: told.planId });
        setMaking({ text: told.progress, tokens: told.tokens });
      }
    } catch (cause) {
      if (!mine.signal.aborted) setFault(explain(cause));
    }
    setMaking(null);
  };
  const plan = () => { if (wish.trim() !== "" && !making) void make({ wish: wish.trim() }); };
  return (
    <>
      <div>
        <h2 className="text-xl font-semibold text-fg">{m.setup_title()}</h2>
        <p className="mt-1 text-base">{m.setup_about()}</p>
      </div>
      {facts.data?.facts && <Facts facts={facts.data.facts} />}
      {facts.error && <FaultLine fault={explain(facts.error)}><Button small onClick={() => void facts.refetch()}>{m.try_again()}</Button></FaultLine>}
      <div className="rounded-card border border-line-strong bg-raised p-2.5 focus-within:border-focus">
        <Textarea
          aria-label={m.setup_wish()}
          placeholder={m.setup_wish_hint()}
          rows={3}
          maxLength={8_000}
          value={wish}
          disabled={making !== null}
          onChange={(event) => setWish(event.target.value)}
          onBlur={() => setSought(wish.trim())}
          onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) plan(); }}
          className="resize-none border-0 bg-transparent text-base"
        />
        <div className="mt-1 flex flex-wrap items-center justify-between gap-2 pl-1">
          <p className="text-xs text-fg-3">{m.setup_wish_about()}</p>
          {making ? <Button icon={Square} className="ml-auto" onClick={() => control.current?.abort()}>{m.stop()}</Button> : <Button tone="primary" icon={Sparkles} className="ml-auto" disabled={wish.trim() === ""} onClick={plan}>{m.setup_plan()}</Button>}
        </div>
      </div>
      {fault && <FaultLine fault={fault} />}
      {making && (
        <section aria-label={m.setup_planning()} className="rounded-card border border-line bg-raised p-3">
          <p role="status" className="nums text-xs text-live">{m.setup_planning()} · {m.tokens_count({ count: making.tokens, shown: number(making.tokens) })}</p>
          <pre className="font-code text-code mt-1 max-h-40 overflow-hidden whitespace-pre-wrap break-words text-fg-3">{making.text}<span aria-hidden className="caret" /></pre>
        </section>
      )}
      <h3 className="label mt-1">{m.setup_templates()}</h3>
      {templates.isPending && <Waiting rows={4} height={56} label={m.loading()} />}
      {templates.error && <FaultLine fault={explain(templates.error)}><Button small onClick={() => void templates.refetch()}>{m.try_again()}</Button></FaultLine>}
      <ul className="grid gap-2 wide:grid-cols-2">
        {templates.data?.templates.map((template) => <TemplateCard key={template.templateId} template={template} busy={making !== null} onUse={() => void make({ templateId: template.templateId })} />)}
      </ul>
    </>
  );
}

function Facts({ facts }: { facts: EnvFacts }) {
  const rows: [string, string][] = [
    [m.setup_languages(), facts.languages.map((share) => `${share.language} (${number(share.files)})`).join(", ")],
    [m.setup_managers(), facts.packageManagers.join(", ")],
    [m.setup_entrypoints(), facts.entrypoints.join(", ")],
    [m.setup_tests(), facts.testCommands.join(", ")],
    [m.setup_ports(), facts.ports.join(", ")],
    [m.setup_services(), facts.services.join(", ")],
  ];
  const known = rows.filter(([, value]) => value !== "");
  return (
    <Card title={m.setup_facts()} aside={<span className="text-xs text-fg-3">{m.files_count({ count: facts.files, shown: number(facts.files) })}</span>}>
      {known.length === 0 ? <p className="px-4 py-3 text-sm">{facts.files === 0 ? m.setup_facts_empty() : m.setup_facts_none()}</p> : (
        <dl className="grid grid-cols-[minmax(110px,auto)_1fr] gap-x-4 gap-y-1 px-4 py-3 text-sm">
          {known.map(([name, value]) => <div key={name} className="contents"><dt className="text-fg-3">{name}</dt><dd className="min-w-0 break-words text-fg">{value}</dd></div>)}
        </dl>
      )}
    </Card>
  );
}

function TemplateCard({ template, busy, onUse }: { template: Template; busy: boolean; onUse: () => void }) {
  const [leaving, setLeaving] = useState(false);
  const name = nameOf(template);
  return (
    <li className="flex min-w-0 flex-col gap-1.5 rounded-card border border-line-2 bg-raised p-3.5">
      <div className="flex items-center gap-2">
        <LayoutTemplate size={16} strokeWidth={1.6} aria-hidden className="shrink-0 text-fg-3" />
        <h4 className="min-w-0 flex-1 truncate text-sm font-semibold text-fg">{name}</h4>
        {!template.builtIn && <Tag>{m.setup_version({ version: template.version })}</Tag>}
        {!template.builtIn && <IconButton label={m.delete_verb({ name })} icon={Trash2} size={14} className="size-7" onClick={() => setLeaving(true)} />}
      </div>
      <p className="text-sm break-words">{aboutOf(template)}</p>
      <p className="font-code text-2xs break-words text-fg-3">{template.paths.join("  ")}</p>
      <div className="mt-auto flex flex-wrap items-center gap-2 pt-1.5">
        {template.available ? <span className="nums text-xs text-fg-3">{template.uses === 0 ? m.setup_unused() : m.setup_worked({ successes: number(template.successes), uses: number(template.uses) })}</span> : <Tag tone="warn">{m.setup_unavailable({ runtime: template.runtime })}</Tag>}
        <span className="flex-1" />
        <Button small disabled={busy || !template.available} aria-label={m.setup_use_named({ name })} onClick={onUse}>{m.setup_use()}</Button>
      </div>
      <Confirm
        open={leaving}
        onClose={() => setLeaving(false)}
        title={m.delete_title({ name })}
        about={m.setup_delete_about()}
        verb={m.delete_verb({ name })}
        onConfirm={async () => {
          await provision.deleteTemplate({ templateId: template.templateId });
          refetch(ProvisionService.method.listTemplates);
        }}
      />
    </li>
  );
}
