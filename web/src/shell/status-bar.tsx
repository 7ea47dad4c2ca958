// The status bar: connection with its measured latency, problems, the model at work, isolation, the cursor, the language.
import { useQuery } from "@connectrpc/connect-query";
import { CircleX, Cpu, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { reconnectNow, useConnection } from "../api/stream";
import { LlmService, ModelState } from "../gen/devstudio/llm/v1/llm_pb";
import { Isolation } from "../gen/devstudio/sandbox/v1/run_pb";
import { SandboxService } from "../gen/devstudio/sandbox/v1/run_pb";
import { useChat } from "../lib/chat";
import { allCommands } from "../lib/commands";
import { isolationName } from "../lib/engines";
import { number } from "../lib/format";
import { languages, setLanguage, useLanguage } from "../lib/language";
import { go } from "../lib/nav";
import { useRuns } from "../lib/runs";
import { useStatus } from "../lib/status";
import { m } from "../paraglide/messages";
import { cx } from "../ui/cx";
import { Tip } from "../ui/tip";

export default function StatusBar() {
  const { state, latencyMs } = useConnection();
  const { cursor, language: mode, problems, generating } = useStatus();
  const language = useLanguage((s) => s.language);
  const other = language === "de" ? "en" : "de";
  const open = state === "open";
  return (
    <footer className="flex h-6 shrink-0 items-center border-t border-line bg-chrome px-1.5 text-xs text-fg-2">
      <Item tip={m.status_connection()} onClick={reconnectNow}>
        <span aria-hidden className={cx("size-1.5 rounded-full", open ? "bg-ok" : state === "lost" ? "bg-err" : "bg-warn")} />
        <span className="nums">{open ? m.connected() : state === "lost" ? m.disconnected() : m.connecting()}{open && latencyMs !== null && ` · ${number(latencyMs, latencyMs < 10 ? 1 : 0)} ms`}</span>
      </Item>
      {cursor && (
        <Item tip={m.status_problems()} onClick={() => allCommands().find((c) => c.id === "next-problem")?.run()}>
          <CircleX size={13} aria-hidden className={problems.errors > 0 ? "text-err" : ""} />{problems.errors}
          <TriangleAlert size={13} aria-hidden className={cx("ml-1", problems.warnings > 0 && "text-warn")} />{problems.warnings}
        </Item>
      )}
      <span className="flex-1" />
      <ModelItem generating={generating} />
      <IsolationItem />
      {cursor && <Item tip={m.goto_line()} onClick={() => allCommands().find((c) => c.id === "goto-line")?.run()}><span className="nums">{m.line_column({ line: cursor.line, column: cursor.column })}</span></Item>}
      {cursor && <span className="px-1.5">UTF-8</span>}
      {mode && <span className="px-1.5">{mode}</span>}
      <Item tip={m.language_switch({ language: languages[other] })} onClick={() => setLanguage(other)}>{languages[language]}</Item>
    </footer>
  );
}

function ModelItem({ generating }: { generating: { model: string; tokensPerSecond: number } | null }) {
  const models = useQuery(LlmService.method.listModels, {}, { staleTime: 30_000 });
  const chosen = useChat((s) => s.settings.model);
  const list = models.data?.models ?? [];
  const model = list.find((x) => x.modelId === chosen) ?? list.find((x) => x.isDefault) ?? list.find((x) => x.state === ModelState.LOADED && !x.embedding);
  const name = generating?.model || model?.modelId;
  if (!name) return null;
  return (
    <Item tip={generating ? m.status_generating() : m.status_model()} onClick={() => go("/chat")}>
      <Cpu size={13} aria-hidden className={generating ? "live-dot text-signal" : ""} />
      <span className={cx(generating && "text-live nums")}>{name}{generating ? ` · ${number(generating.tokensPerSecond, 1)} ${m.tokens_per_second()}` : model && model.state !== ModelState.LOADED && ` · ${m.not_loaded()}`}</span>
    </Item>
  );
}

function IsolationItem() {
  const run = useRuns((s) => s.current);
  const engines = useQuery(SandboxService.method.listEngines, {}, { staleTime: 60_000 });
  const engine = engines.data?.engines.find((e) => e.engine === (run?.request.engine ?? "run"));
  const isolation = run && run.isolation !== Isolation.UNSPECIFIED ? run.isolation : engine?.isolation;
  if (!engine || isolation === undefined) return null;
  return <Item tip={m.status_isolation({ provider: engine.provider })} onClick={() => go("/run")}>{engine.engine}: {isolationName(isolation)}</Item>;
}

function Item({ tip, onClick, children }: { tip: string; onClick: () => void; children: ReactNode }) {
  return (
    <Tip text={tip}>
      <button type="button" data-inset onClick={onClick} className="flex h-full items-center gap-1.5 px-1.5 whitespace-nowrap hover:bg-hover hover:text-fg">{children}</button>
    </Tip>
  );
}
