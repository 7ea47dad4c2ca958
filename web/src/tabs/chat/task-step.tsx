// One step of an agent: why, what, and what came of it.
import { CircleAlert, CircleCheck, Play } from "lucide-react";
import type { ContextShown } from "../../gen/devstudio/agent/v1/agent_pb";
import type { Item } from "../../lib/timeline";
import { number, span } from "../../lib/format";
import { go } from "../../lib/nav";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Patch } from "../../ui/patch";
import { Avatar } from "../../ui/tag";
import { actionLine, pathOf, reasonWord } from "./task-words";

type Step = Extract<Item, { kind: "step" }>;

export function TaskStep({ step, name, letters }: { step: Step; name: string; letters: string }) {
  const { chosen, done, said } = step;
  const act = chosen.action?.act;
  const path = pathOf(chosen.action);
  const tokens = (chosen.spent?.promptTokens ?? 0) + (chosen.spent?.completionTokens ?? 0);
  const refused = done !== undefined && (!done.ok || (act?.case === "finish" && !act.value.success));
  return (
    <article aria-label={m.task_step({ number: chosen.step, name })} className="flex gap-3 py-3">
      <Avatar name={name} letters={letters} square />
      <div className="flex min-w-0 flex-1 flex-col gap-1.5">
        <div className="flex flex-wrap items-baseline gap-x-2">
          <span className="text-sm font-semibold text-fg">{name}</span>
          <span className="nums text-xs text-fg-3">{m.tokens_count({ count: tokens, shown: number(tokens) })}{done && done.tookMs > 0 && ` · ${span(done.tookMs)}`}</span>
        </div>
        {chosen.action?.thought && <p className="text-sm break-words whitespace-pre-wrap text-fg-2">{chosen.action.thought}</p>}
        <p className="flex items-start gap-1.5 text-base font-medium break-words text-fg">
          {done && (refused ? <CircleAlert size={16} aria-hidden className="mt-1 shrink-0 text-warn" /> : <CircleCheck size={16} aria-hidden className="mt-1 shrink-0 text-ok" />)}
          <span className="min-w-0">{actionLine(chosen.action)}</span>
        </p>
        {act?.case === "runExec" && <Text text={act.value.code} label={m.act_run({ runtime: act.value.runtime })} />}
        {act?.case === "askUser" && (done || said) && <p className="text-base break-words whitespace-pre-wrap text-fg">{act.value.question}</p>}
        {act?.case === "finish" && <p className="text-base break-words whitespace-pre-wrap text-fg">{act.value.summary}</p>}
        {done?.diff && <Patch path={path} diff={done.diff} />}
        {said && <p className="text-sm text-fg-2">{said.approval ? (said.allowed ? m.task_you_allowed() : m.task_you_forbade()) : m.task_you_said()}{said.text && <span className="text-fg"> {said.text}</span>}</p>}
        {done && act?.case !== "finish" && act?.case !== "askUser" && (refused || !done.diff) && <Text text={done.observation} label={m.task_observed()} tone={refused ? "warn" : "plain"} />}
        {chosen.context && chosen.context.files.length > 0 && <Context context={chosen.context} />}
        {done && (path !== "" || done.execId !== "") && (
          <div className="-ml-2 flex flex-wrap gap-1">
            {path !== "" && <Button small tone="quiet" onClick={() => go("/code", { path })}>{m.task_open_file()}</Button>}
            {done.execId !== "" && <Button small tone="quiet" icon={Play} onClick={() => go(`/run/${done.execId}`)}>{m.task_open_run()}</Button>}
          </div>
        )}
      </div>
    </article>
  );
}

/** What the model was shown before it decided. */
function Context({ context }: { context: ContextShown }) {
  return (
    <details className="min-w-0 text-xs text-fg-3">
      <summary className="cursor-pointer rounded-tag max-tab:min-h-10 max-tab:py-2.5">{m.context_shown({ files: m.files_count({ count: context.files.length, shown: number(context.files.length) }), tokens: m.tokens_count({ count: context.tokens, shown: number(context.tokens) }) })}</summary>
      <ul className="mt-1 flex flex-col gap-0.5 pl-4">
        {context.files.map((file) => <li key={file.path} className="break-words"><span className="font-code text-fg-2">{file.path}</span> · {reasonWord(file.reason)}</li>)}
        {context.stepsLeftOut > 0 && <li>{m.context_left_out({ count: number(context.stepsLeftOut) })}</li>}
      </ul>
    </details>
  );
}

function Text({ text, label, tone = "plain" }: { text: string; label: string; tone?: "plain" | "warn" }) {
  return <pre tabIndex={0} aria-label={label} className={`font-code text-code max-h-60 overflow-auto rounded-ctl border border-line p-2 whitespace-pre-wrap break-words ${tone === "warn" ? "bg-warn-soft text-fg" : "bg-editor text-fg-2"}`}>{text}</pre>;
}
