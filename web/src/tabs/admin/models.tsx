// Models: the machine's load, the catalogue, download, start and stop.
import { useQuery } from "@connectrpc/connect-query";
import { createClient } from "@connectrpc/connect";
import { CircleAlert, Download, Play, Square, X } from "lucide-react";
import { useState } from "react";
import { explain } from "../../api/errors";
import { refetch } from "../../api/query";
import { transport } from "../../api/transport";
import { JobKind, JobState, LlmService, ModelState, type Job, type Model } from "../../gen/devstudio/llm/v1/llm_pb";
import { bytes, number, parameters, percent, span } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { cx } from "../../ui/cx";
import { Dialog, DialogBody } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { Card, cellClass, Figure, Page, rowClass, Table } from "../../ui/page";
import { Sparkline } from "../../ui/sparkline";
import { Empty, Meter, Tag, Waiting, type Tone } from "../../ui/tag";
import { Tip } from "../../ui/tip";
import { tried } from "../../ui/tried";
import { useJobs } from "./jobs";
import { useStats } from "./stats";

const llm = createClient(LlmService, transport);

export default function ModelsPage() {
  const models = useQuery(LlmService.method.listModels, {}, { refetchInterval: 10_000 });
  const jobs = useJobs();
  const [chosen, setChosen] = useState("");
  const [opened, setOpened] = useState("");
  const list = models.data?.models ?? [];
  const model = list.find((x) => x.modelId === chosen) ?? list[0];
  const sheet = list.find((x) => x.modelId === opened);
  return (
    <Page title={m.models()}>
      <Load />
      {models.isPending ? <Card><Waiting rows={4} height={56} label={m.loading()} /></Card>
      : models.error && !models.data ? <FaultPane fault={explain(models.error)} onRetry={() => void models.refetch()} />
      : list.length === 0 ? <Card><Empty title={m.models_none()} /></Card>
      : (
        <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-4 min-[1400px]:grid-cols-[minmax(0,1fr)_280px]">
          <Card className="max-tab:hidden">
            <Table label={m.models()} head={[{ name: m.model(), wide: true }, { name: m.alias() }, { name: m.parameters(), right: true }, { name: "Quant" }, { name: m.size(), right: true }, { name: m.state() }, { name: m.actions(), hidden: true }]}>
              {list.map((x) => <ModelRow key={x.modelId} model={x} job={jobs[x.modelId]} chosen={x === model} onChoose={() => setChosen(x.modelId)} />)}
            </Table>
          </Card>
          <ul className="flex flex-col gap-2 tab:hidden">{list.map((x) => <ModelCard key={x.modelId} model={x} job={jobs[x.modelId]} onOpen={() => setOpened(x.modelId)} />)}</ul>
          {model && <Card title={model.name || model.modelId} aside={<StateTag model={model} />} className="max-tab:hidden"><Facts model={model} /></Card>}
          {sheet && <Dialog open onClose={() => setOpened("")} title={sheet.name || sheet.modelId}><DialogBody className="px-0! pt-0"><Facts model={sheet} /></DialogBody></Dialog>}
        </div>
      )}
    </Page>
  );
}

/** What the machine does now, with the last minute behind it. */
function Load() {
  const { now, cpu, memory, speed, queue } = useStats();
  return (
    <div className="grid grid-cols-2 gap-3 wide:grid-cols-4">
      <Figure name="CPU" value={now ? number(now.cpuPercent) : "–"} unit="%"><Sparkline values={cpu} colour="c2" most={100} /></Figure>
      <Figure name={m.memory_main()} value={now ? bytes(now.rssBytes) : "–"}><Sparkline values={memory} colour="c1" /></Figure>
      <Figure name={m.tokens_per_second_long()} value={now ? number(now.tokensPerSecond, 1) : "–"}><Sparkline values={speed} colour="c5" most={10} /></Figure>
      <Figure name={m.queue()} value={now ? number(now.activeRequests) : "–"} unit={now ? m.queue_note({ waiting: number(now.queuedRequests) }) : ""}><Sparkline values={queue} colour="c3" most={2} /></Figure>
    </div>
  );
}

function ModelRow({ model, job, chosen, onChoose }: { model: Model; job: Job | undefined; chosen: boolean; onChoose: () => void }) {
  return (
    <tr className={cx(rowClass, "h-14", chosen && "bg-selected! shadow-[inset_2px_0_0_var(--signal)]")}>
      <td className={cx(cellClass, "max-w-0")}>
        <button type="button" onClick={onChoose} aria-pressed={chosen} className="block w-full min-w-40 rounded-tag text-left">
          <span className="block truncate font-medium text-fg">{model.name || model.modelId}</span>
          <span className="block truncate text-xs text-fg-3">{model.isDefault && <span className="text-accent-text">{m.model_default()} · </span>}{model.source || m.model_local()}</span>
        </button>
        <Progress job={job} />
      </td>
      <td className={cx(cellClass, "font-code text-xs")}>{model.aliases.join(", ") || "–"}</td>
      <td className={cx(cellClass, "nums text-right")}>{parameters(model.parameters)}</td>
      <td className={cx(cellClass, "font-code text-xs")}>{model.quant || "–"}</td>
      <td className={cx(cellClass, "nums text-right")}>{model.sizeBytes > 0n ? bytes(model.sizeBytes) : "–"}</td>
      <td className={cellClass}><StateTag model={model} /></td>
      <td className={cx(cellClass, "text-right")}><Actions model={model} job={job} /></td>
    </tr>
  );
}

/** A model on the phone; its name opens what is known of it. */
function ModelCard({ model, job, onOpen }: { model: Model; job: Job | undefined; onOpen: () => void }) {
  return (
    <li>
      <Card className="p-3">
        <div className="flex items-center gap-3">
          <button type="button" onClick={onOpen} className="min-h-10 min-w-0 flex-1 rounded-tag text-left">
            <span className="block truncate text-sm font-medium text-fg">{model.name || model.modelId}</span>
            <span className="mt-0.5 flex items-center gap-2 text-xs text-fg-3"><StateTag model={model} />{[model.quant, model.sizeBytes > 0n ? bytes(model.sizeBytes) : ""].filter(Boolean).join(" · ")}</span>
          </button>
          <Actions model={model} job={job} />
        </div>
        <Progress job={job} />
      </Card>
    </li>
  );
}

function Progress({ job }: { job: Job | undefined }) {
  if (!job || job.state !== JobState.RUNNING) return null;
  if (job.kind !== JobKind.DOWNLOAD) return <div className="mt-1.5 h-1 overflow-hidden rounded-full bg-line"><div className="indeterminate h-full w-1/3 rounded-full bg-signal" /></div>;
  const left = Number(job.totalBytes - job.doneBytes) / Math.max(1, Number(job.bytesPerSecond));
  const facts = [percent(job.progress), `${bytes(job.bytesPerSecond)}/s`, job.totalBytes > 0n && job.bytesPerSecond > 0n ? m.time_left({ time: left < 60 ? `${number(Math.ceil(left))} s` : span(left * 1000) }) : ""].filter(Boolean).join(" · ");
  return (
    <div className="mt-1.5">
      <Meter share={job.progress} tone="signal" label={m.downloading_model({ model: job.modelId })} />
      <p className="nums mt-1 truncate text-2xs text-fg-3">{facts}</p>
    </div>
  );
}

function StateTag({ model }: { model: Model }) {
  if (model.oversize && model.state !== ModelState.LOADED) {
    return <Tip text={m.err_model_large_meaning()}><span className="inline-flex rounded-tag"><Tag tone="warn"><CircleAlert size={12} aria-hidden />{m.model_oversize()}</Tag></span></Tip>;
  }
  const words: Record<ModelState, [Tone, string]> = {
    [ModelState.UNSPECIFIED]: ["plain", "–"],
    [ModelState.AVAILABLE]: ["plain", m.model_available()],
    [ModelState.DOWNLOADING]: ["live", m.model_downloading()],
    [ModelState.DOWNLOADED]: ["plain", m.model_stopped()],
    [ModelState.LOADING]: ["live", m.model_loading()],
    [ModelState.LOADED]: ["ok", m.model_loaded()],
    [ModelState.UNLOADING]: ["live", m.model_unloading()],
  };
  const [tone, word] = words[model.state];
  return <Tag tone={tone} dot={tone !== "plain"}>{word}</Tag>;
}

function Actions({ model, job }: { model: Model; job: Job | undefined }) {
  const [busy, setBusy] = useState(false);
  const name = model.name || model.modelId;
  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    await tried(work);
    setBusy(false);
    refetch(LlmService.method.listModels, LlmService.method.listJobs);
  };
  if (job?.state === JobState.RUNNING && job.kind !== JobKind.UNLOAD) return <Button small icon={X} busy={busy} onClick={() => void act(() => llm.cancelJob({ jobId: job.jobId }))} aria-label={m.cancel_named({ name })} className="max-tab:w-10 max-tab:px-0"><span className="phone-hidden">{m.cancel()}</span></Button>;
  if (model.state === ModelState.LOADED) return <IconButton tone="plain" label={m.model_stop({ name })} icon={Square} size={14} disabled={busy} onClick={() => void act(() => llm.unloadModel({ model: model.modelId }))} />;
  if (model.state === ModelState.DOWNLOADED && !model.oversize) return <IconButton tone="plain" label={m.model_start({ name })} icon={Play} size={14} disabled={busy} onClick={() => void act(() => llm.loadModel({ model: model.modelId }))} />;
  if (model.state === ModelState.AVAILABLE && !model.oversize) return <IconButton tone="plain" label={m.model_download({ name })} icon={Download} size={14} disabled={busy} onClick={() => void act(() => llm.downloadModel({ model: model.modelId }))} />;
  return null;
}

function Facts({ model }: { model: Model }) {
  const facts: [string, string][] = [
    ["id", model.modelId],
    [m.context(), model.contextSize > 0 ? number(model.contextSize) : "–"],
    [model.state === ModelState.LOADED ? m.memory_used() : m.memory_estimated(), model.memoryBytes > 0n ? bytes(model.memoryBytes) : "–"],
    [m.size(), model.sizeBytes > 0n ? bytes(model.sizeBytes) : "–"],
    [m.licence(), model.license || "–"],
    [m.kind(), model.embedding ? m.kind_embedding() : m.kind_chat()],
  ];
  return (
    <>
      <dl className="grid gap-x-12 gap-y-1.5 p-4 text-xs tab:max-[1400px]:grid-cols-2">
        {facts.map(([name, value]) => <div key={name} className="flex justify-between gap-3"><dt className="text-fg-3">{name}</dt><dd className="font-code truncate text-right text-fg" title={value}>{value}</dd></div>)}
        {model.sha256 && <div className="flex justify-between gap-3"><dt className="text-fg-3">sha256</dt><dd><button type="button" onClick={() => copyText(model.sha256)} className="font-code rounded-tag text-fg underline underline-offset-2">{model.sha256.slice(0, 8)}…{model.sha256.slice(-8)}</button></dd></div>}
      </dl>
      {model.oversize && <p className="border-t border-line px-4 py-3 text-xs">{m.err_model_large_meaning()}</p>}
      {model.note && <p className="border-t border-line px-4 py-3 text-xs">{model.note}</p>}
    </>
  );
}
