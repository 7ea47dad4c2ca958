// The words and tones for a task's kind, state, policy and agent.
import type { AgentAction } from "../../gen/devstudio/agent/v1/action_pb";
import { ContextReason, TaskKind, TaskPolicy, TaskState } from "../../gen/devstudio/agent/v1/agent_pb";
import { m } from "../../paraglide/messages";
import type { Tone } from "../../ui/tag";

export const kinds: { value: TaskKind; label: () => string; about: () => string }[] = [
  { value: TaskKind.CODE, label: m.task_kind_code, about: m.task_kind_code_about },
  { value: TaskKind.FIX, label: m.task_kind_fix, about: m.task_kind_fix_about },
  { value: TaskKind.TEST, label: m.task_kind_test, about: m.task_kind_test_about },
  { value: TaskKind.REVIEW, label: m.task_kind_review, about: m.task_kind_review_about },
  { value: TaskKind.DESIGN, label: m.task_kind_design, about: m.task_kind_design_about },
  { value: TaskKind.DOCS, label: m.task_kind_docs, about: m.task_kind_docs_about },
  { value: TaskKind.PROVISION, label: m.task_kind_provision, about: m.task_kind_provision_about },
];
export const kindName = (kind: TaskKind): string => kinds.find((one) => one.value === kind)?.label() ?? "";

export const policies: { value: TaskPolicy; label: () => string; about: () => string }[] = [
  { value: TaskPolicy.WORKSPACE, label: m.task_policy_workspace, about: m.task_policy_workspace_about },
  { value: TaskPolicy.ASK, label: m.task_policy_ask, about: m.task_policy_ask_about },
  { value: TaskPolicy.READ_ONLY, label: m.task_policy_read, about: m.task_policy_read_about },
  { value: TaskPolicy.FREE, label: m.task_policy_free, about: m.task_policy_free_about },
];

export function stateWord(state: TaskState): { name: string; tone: Tone } {
  switch (state) {
    case TaskState.RUNNING: return { name: m.task_running(), tone: "live" };
    case TaskState.WAITING: return { name: m.task_waiting(), tone: "warn" };
    case TaskState.SUCCEEDED: return { name: m.task_succeeded(), tone: "ok" };
    case TaskState.FAILED: return { name: m.task_failed(), tone: "err" };
    case TaskState.CANCELLED: return { name: m.task_cancelled(), tone: "plain" };
    default: return { name: m.task_queued(), tone: "plain" };
  }
}

/** What an action does, in a line. */
export function actionLine(action: AgentAction | undefined): string {
  const act = action?.act;
  switch (act?.case) {
    case "writeFile": return m.act_write({ path: act.value.path });
    case "editFile": return m.act_edit({ path: act.value.path });
    case "deletePath": return m.act_delete({ path: act.value.path });
    case "movePath": return m.act_move({ from: act.value.from, to: act.value.to });
    case "runExec": return m.act_run({ runtime: act.value.runtime });
    case "readFile": return m.act_read({ path: act.value.path });
    case "search": return m.act_search({ query: act.value.query });
    case "askUser": return m.act_ask();
    case "finish": return act.value.success ? m.act_finish() : m.act_give_up();
    default: return "";
  }
}

/** The file that an action is about; empty where it is about none. */
export function pathOf(action: AgentAction | undefined): string {
  const act = action?.act;
  if (act?.case === "writeFile" || act?.case === "editFile" || act?.case === "readFile") return act.value.path;
  return act?.case === "movePath" ? act.value.to : "";
}

/** Why a model is shown a file. */
export function reasonWord(reason: ContextReason): string {
  switch (reason) {
    case ContextReason.NAMED: return m.context_named();
    case ContextReason.FAILED: return m.context_failed();
    case ContextReason.TOUCHED: return m.context_touched();
    case ContextReason.FEW: return m.context_few();
    case ContextReason.ALIKE: return m.context_alike();
    case ContextReason.WORDS: return m.context_words();
    default: return "";
  }
}
