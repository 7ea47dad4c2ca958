// Conversations with the local model: streamed, stoppable, kept in this browser per person.
import { create as message } from "@bufbuild/protobuf";
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { explain, wasCancelled, type Fault } from "../api/errors";
import { llm } from "../api/transport";
import { ChatMessageSchema, MessageRole } from "../gen/devstudio/llm/v1/llm_pb";
import { kept, localId } from "./keep";
import { useStatus } from "./status";

/** What a message used. */
export interface Cost { prompt: number; completion: number; cached: number; totalMs: number; ttftMs: number; tokensPerSecond: number; requestId: string }

/** One message of a conversation. */
export interface Message {
  id: string;
  role: "user" | "assistant";
  text: string;
  at: number;
  model: string;
  state: "done" | "streaming" | "stopped" | "failed";
  finish: string;
  cost: Cost | null;
  fault: Fault | null;
}

/** A conversation of this browser. */
export interface Thread { id: string; title: string; updatedAt: number; messages: Message[] }

export interface Settings { temperature: number; topP: number; repeatPenalty: number; maxTokens: number; model: string }
interface Chat { threads: Thread[]; activeId: string | null; settings: Settings; draft: string }

export const defaultSettings: Settings = { temperature: 0.7, topP: 0.95, repeatPenalty: 1.1, maxTokens: 1024, model: "" };
const empty: Chat = { threads: [], activeId: null, settings: defaultSettings, draft: "" };
/** An older conversation goes when there are more. */
export const MOST_THREADS = 50;

export const useChat = create<Chat>()(persist(() => empty, { name: "devstudio.chat", storage: kept<Chat>(), skipHydration: true }));

let controller: AbortController | null = null;
const afterAnswer = new Set<() => void>();

/** Calls back after each answer, so that budgets can be fetched again. */
export function onAnswerEnd(listener: () => void): () => void {
  afterAnswer.add(listener);
  return () => afterAnswer.delete(listener);
}

/** Takes up the person's own conversations; what was being answered counts as stopped. */
export async function loadChat(userId: string): Promise<void> {
  useChat.persist.setOptions({ name: `devstudio.chat.${userId}` });
  useChat.setState(empty);
  await useChat.persist.rehydrate();
  useChat.setState(({ threads, settings }) => ({
    settings: { ...defaultSettings, ...settings },
    threads: threads.map((t) => ({ ...t, messages: t.messages.map((m) => (m.state === "streaming" ? { ...m, state: "stopped" as const } : m)) })),
  }));
}

export const newThread = () => useChat.setState({ activeId: null });
export const openThread = (id: string) => useChat.setState({ activeId: id });
export const setSettings = (change: Partial<Settings>) => useChat.setState(({ settings }) => ({ settings: { ...settings, ...change } }));

/** Removes a conversation; the returned function brings it back. */
export function removeThread(id: string): () => void {
  const { threads, activeId } = useChat.getState();
  if (activeId === id) stopAnswer();
  useChat.setState({ threads: threads.filter((t) => t.id !== id), activeId: activeId === id ? null : activeId });
  return () => useChat.setState({ threads, activeId });
}

/** Asks the model in the open conversation, or begins one. */
export async function ask(text: string): Promise<void> {
  const question: Message = { id: localId(), role: "user", text, at: Date.now(), model: "", state: "done", finish: "", cost: null, fault: null };
  const { threads, activeId } = useChat.getState();
  const thread = threads.find((t) => t.id === activeId) ?? { id: localId(), title: titleOf(text), updatedAt: Date.now(), messages: [] };
  put({ ...thread, messages: [...thread.messages, question] });
  useChat.setState({ activeId: thread.id, draft: "" });
  await answer(thread.id);
}

/** Asks for the last answer again. */
export async function regenerate(threadId: string): Promise<void> {
  const thread = find(threadId);
  const last = thread?.messages.findLastIndex((m) => m.role === "user") ?? -1;
  if (!thread || last < 0) return;
  put({ ...thread, messages: thread.messages.slice(0, last + 1) });
  await answer(threadId);
}

/** Stops the answer that is being written; what came stays. */
export function stopAnswer(): void {
  controller?.abort();
}

async function answer(threadId: string): Promise<void> {
  stopAnswer();
  const mine = new AbortController();
  controller = mine;
  const thread = find(threadId);
  if (!thread) return;
  const { settings } = useChat.getState();
  const reply: Message = { id: localId(), role: "assistant", text: "", at: Date.now(), model: settings.model, state: "streaming", finish: "", cost: null, fault: null };
  put({ ...thread, messages: [...thread.messages, reply] });
  const messages = thread.messages
    .filter((m) => m.text !== "")
    .map((m) => message(ChatMessageSchema, { role: m.role === "user" ? MessageRole.USER : MessageRole.ASSISTANT, content: m.text }));
  const { temperature, topP, repeatPenalty, maxTokens, model } = settings;
  let text = "";
  let cost: Cost | null = null;
  let finish = "";
  let modelId = model;
  let firstAt = 0;
  let frame = 0;
  const flush = () => {
    frame = 0;
    edit(threadId, reply.id, { text, cost, model: modelId });
    if (cost) useStatus.setState({ generating: { model: modelId, tokensPerSecond: cost.tokensPerSecond } });
  };
  let fault: Fault | null = null;
  let stopped = false;
  try {
    for await (const piece of llm.chat({ messages, temperature, topP, repeatPenalty, maxTokens, model }, { signal: mine.signal })) {
      firstAt ||= performance.now();
      text = piece.text || text + piece.delta;
      modelId = piece.model || modelId;
      finish = piece.finishReason || finish;
      const completion: number = piece.usage?.completionTokens ?? cost?.completion ?? 0;
      const seconds = Math.max(0.05, (performance.now() - firstAt) / 1000);
      cost = {
        prompt: piece.usage?.promptTokens ?? 0,
        completion,
        cached: piece.usage?.cachedTokens ?? 0,
        totalMs: piece.timings?.totalMs ?? Date.now() - reply.at,
        ttftMs: piece.timings?.ttftMs ?? 0,
        tokensPerSecond: piece.timings?.tokensPerSecond || completion / seconds,
        requestId: piece.requestId,
      };
      frame ||= requestAnimationFrame(flush);
    }
  } catch (cause) {
    stopped = wasCancelled(cause);
    if (!stopped) fault = explain(cause);
  }
  cancelAnimationFrame(frame);
  edit(threadId, reply.id, { text, cost, finish, model: modelId, fault, state: fault ? "failed" : stopped || finish === "cancelled" ? "stopped" : "done" });
  if (controller === mine) {
    controller = null;
    useStatus.setState({ generating: null });
  }
  for (const listener of afterAnswer) listener();
}

const find = (id: string) => useChat.getState().threads.find((t) => t.id === id);

function put(thread: Thread): void {
  useChat.setState(({ threads }) => ({ threads: [{ ...thread, updatedAt: Date.now() }, ...threads.filter((t) => t.id !== thread.id)].slice(0, MOST_THREADS) }));
}

function edit(threadId: string, messageId: string, change: Partial<Message>): void {
  useChat.setState(({ threads }) => ({
    threads: threads.map((t) => (t.id === threadId ? { ...t, messages: t.messages.map((m) => (m.id === messageId ? { ...m, ...change } : m)) } : t)),
  }));
}

function titleOf(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 60 ? `${line.slice(0, 57)}…` : line;
}
