// The task that is being written; it stays while one looks at other places, and other tabs begin one here.
import { create } from "zustand";
import { TaskKind, TaskPolicy } from "../gen/devstudio/agent/v1/agent_pb";
import { useChat } from "./chat";
import { go } from "./nav";

export interface TaskDraft { prompt: string; kind: TaskKind; policy: TaskPolicy; maxSteps: number; paths: string[] }

export const useTaskDraft = create<TaskDraft>(() => ({ prompt: "", kind: TaskKind.CODE, policy: TaskPolicy.WORKSPACE, maxSteps: 12, paths: [] }));

const MOST_SELECTED = 4_000;
/** A selection as it is quoted; of a long one the beginning. */
const quoted = (selection: string): string => (selection.trim() === "" ? "" : `\n\n\`\`\`\n${selection.slice(0, MOST_SELECTED)}\n\`\`\``);

/** Begins a task about a file; the person reads it, and gives it or not. */
export function beginTask(kind: TaskKind, prompt: string, path: string, selection: string): void {
  useTaskDraft.setState({ kind, prompt: `${prompt}${quoted(selection)}`, paths: [path] });
  go("/chat", { mode: "build" });
}

/** Begins a question to the model about a file; the person reads it, and sends it or not. */
export function beginQuestion(prompt: string, selection: string): void {
  useChat.setState({ draft: `${prompt}${quoted(selection)}` });
  go("/chat");
}
