// Admin → Agents: who does tasks, what each is told and may do, and changing that.
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { Pencil } from "lucide-react";
import { useState, type FormEvent } from "react";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { AgentService, type Agent } from "../../gen/devstudio/agent/v1/agent_pb";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { FaultLine, FaultPane } from "../../ui/fault";
import { Field, Input, Textarea } from "../../ui/field";
import { Card, Page } from "../../ui/page";
import { Slider } from "../../ui/slider";
import { Avatar, Tag, Waiting } from "../../ui/tag";
import { toast } from "../../ui/toast";

const tools = ["write_file", "edit_file", "delete_path", "move_path", "run_exec", "read_file", "search", "ask_user", "finish"];

export default function Agents() {
  const agents = useQuery(AgentService.method.listAgents, {});
  const [edited, setEdited] = useState<Agent | null>(null);
  if (agents.isPending) return <Waiting rows={6} height={56} label={m.loading()} />;
  if (agents.error) return <FaultPane fault={explain(agents.error)} onRetry={() => void agents.refetch()} />;
  return (
    <Page title={m.agents()}>
      <p className="-mt-2 text-base">{m.agents_about()}</p>
      <div className="grid gap-3 [grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))]">
        {agents.data.agents.map((agent) => (
          <Card key={agent.agentId} title={agent.name} aside={<Button small icon={Pencil} aria-label={m.agent_edit({ name: agent.name })} onClick={() => setEdited(agent)}>{m.agent_change()}</Button>}>
            <div className="flex gap-3 p-4">
              <Avatar name={agent.name} letters={agent.avatar} square />
              <div className="flex min-w-0 flex-col gap-2">
                <p className="text-sm text-fg">{agent.description}</p>
                {agent.tools.length > 0 && <p className="flex flex-wrap gap-1">{agent.tools.map((tool) => <Tag key={tool}>{tool}</Tag>)}</p>}
                <p className="nums text-xs text-fg-3">{agent.model || m.model_default()} · {m.temperature()} {number(agent.temperature, 2)} · {m.max_tokens()} {number(agent.maxTokens)} · {m.agent_version({ version: agent.version })}</p>
              </div>
            </div>
          </Card>
        ))}
      </div>
      {edited && <Edit key={edited.agentId} agent={edited} onClose={() => setEdited(null)} />}
    </Page>
  );
}

function Edit({ agent, onClose }: { agent: Agent; onClose: () => void }) {
  const [temperature, setTemperature] = useState(Math.round(agent.temperature * 100) / 100);
  const [maxTokens, setMaxTokens] = useState(agent.maxTokens);
  const change = useMutation(AgentService.method.updateAgent, {
    onSuccess: () => {
      refetch(AgentService.method.listAgents);
      toast.success(m.agent_changed({ name: agent.name }));
      onClose();
    },
    onError: () => refetch(AgentService.method.listAgents),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const text = (name: string) => String(data.get(name) ?? "").trim();
    change.mutate({ agent: { agentId: agent.agentId, name: text("name"), description: text("description"), avatar: text("avatar"), systemPrompt: text("prompt"), tools: tools.filter((tool) => data.get(tool) !== null), model: text("model"), temperature, maxTokens, version: agent.version } });
  };
  return (
    <Dialog open wide onClose={onClose} title={m.agent_edit({ name: agent.name })} about={m.agent_edit_about()}>
      <form onSubmit={submit} autoComplete="off" className="flex min-h-0 flex-col">
        <DialogBody className="flex flex-col gap-3">
          <div className="grid gap-3 tab:grid-cols-[2fr_1fr_2fr]">
            <Field label={m.name()}>{(p) => <Input {...p} name="name" required maxLength={80} defaultValue={agent.name} autoFocus />}</Field>
            <Field label={m.agent_avatar()} hint={m.agent_avatar_hint()}>{(p) => <Input {...p} name="avatar" maxLength={3} defaultValue={agent.avatar} />}</Field>
            <Field label={m.model()} hint={m.agent_model_hint()}>{(p) => <Input {...p} name="model" maxLength={200} defaultValue={agent.model} />}</Field>
          </div>
          <Field label={m.agent_description()}>{(p) => <Input {...p} name="description" maxLength={300} defaultValue={agent.description} />}</Field>
          <Field label={m.agent_prompt()}>{(p) => <Textarea {...p} name="prompt" rows={7} required maxLength={4_000} defaultValue={agent.systemPrompt} />}</Field>
          <fieldset>
            <legend className="label">{m.agent_tools()}</legend>
            <div className="mt-1.5 grid gap-x-4 gap-y-1 sm:grid-cols-3">
              {tools.map((tool) => (
                <label key={tool} className="flex min-h-7 cursor-pointer items-center gap-2 text-sm text-fg max-tab:min-h-10"><input type="checkbox" name={tool} defaultChecked={agent.tools.includes(tool)} className="size-4 accent-(--color-accent)" /><span className="font-code text-code">{tool}</span></label>
              ))}
            </div>
          </fieldset>
          <Slider label={m.temperature()} value={temperature} min={0} max={2} step={0.05} digits={2} onChange={setTemperature} />
          <Slider label={m.max_tokens()} value={maxTokens} min={64} max={8192} step={64} digits={0} onChange={setMaxTokens} />
          {change.error && <FaultLine fault={explain(change.error)} />}
        </DialogBody>
        <DialogFoot><Button onClick={onClose}>{m.cancel()}</Button><Button type="submit" tone="primary" busy={change.isPending}>{m.agent_change()}</Button></DialogFoot>
      </form>
    </Dialog>
  );
}
