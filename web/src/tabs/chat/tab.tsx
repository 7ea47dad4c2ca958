// The Chat tab: conversations of this browser and the one that is open; in Build mode, tasks of agents.
import { ArrowDown, MessagesSquare, Plus, Trash2 } from "lucide-react";
import { useParams, useRouterState } from "@tanstack/react-router";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { toast } from "../../ui/toast";
import { ask, MOST_THREADS, newThread, openThread, removeThread, stopAnswer, useChat, type Thread } from "../../lib/chat";
import { useCommands } from "../../lib/commands";
import { ago, number } from "../../lib/format";
import { go } from "../../lib/nav";
import { useStatus } from "../../lib/status";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog } from "../../ui/dialog";
import { usePhone } from "../../ui/media";
import { Panes } from "../../ui/panes";
import { Segmented } from "../../ui/segmented";
import { Build } from "./build";
import { Composer } from "./composer";
import { Message } from "./message";

export default function ChatTab() {
  const { taskId = "" } = useParams({ strict: false }) as { taskId?: string };
  const building = useRouterState({ select: (s) => (s.location.search as { mode?: unknown }).mode === "build" }) || taskId !== "";
  const modes = (
    <Segmented
      label={m.chat_mode()}
      value={building ? "build" : "chat"}
      options={[{ value: "chat", label: m.chat_mode_chat() }, { value: "build", label: m.build() }]}
      onChange={(mode) => go("/chat", mode === "build" ? { mode } : {})}
    />
  );
  return building ? <Build taskId={taskId} modes={modes} /> : <Conversations modes={modes} />;
}

function Conversations({ modes }: { modes: React.ReactNode }) {
  const phone = usePhone();
  const { threads, activeId } = useChat();
  const [sheet, setSheet] = useState(false);
  const thread = threads.find((t) => t.id === activeId);
  const busy = thread?.messages.at(-1)?.state === "streaming";
  useEffect(() => {
    useStatus.setState({ object: thread?.title ?? "" });
    return () => useStatus.setState({ object: "" });
  }, [thread?.title]);
  useCommands("chat", [
    { id: "new-thread", title: m.chat_new(), group: "chat", icon: Plus, keys: "Alt+N", typing: true, run: newThread },
    ...(busy ? [{ id: "stop-answer", title: m.chat_stop(), group: "chat" as const, keys: "Escape", typing: true, run: stopAnswer }] : []),
  ]);
  const list = <ThreadList threads={threads} activeId={activeId} onPick={() => setSheet(false)} />;
  const conversation = (
    <section aria-label={m.conversation()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-11 shrink-0 items-center justify-between gap-2 border-b border-line px-2">
        {modes}
        {phone && (
          <span className="flex items-center gap-1">
            <Button tone="quiet" icon={MessagesSquare} onClick={() => setSheet(true)}>{m.conversations()}</Button>
            <IconButton label={m.chat_new()} icon={Plus} onClick={newThread} />
          </span>
        )}
      </div>
      {thread ? <Conversation key={thread.id} thread={thread} /> : <Nothing />}
      <Composer busy={busy} used={lastUsed(thread)} />
    </section>
  );
  if (!phone) return <Panes id="chat" panes={[{ id: "threads", size: "240px", min: "160px", max: "420px", content: list }, { id: "conversation", min: "360px", content: conversation }]} />;
  return (
    <>
      {conversation}
      <Dialog open={sheet} onClose={() => setSheet(false)} title={m.conversations()}><div className="flex h-[60dvh] flex-col">{list}</div></Dialog>
    </>
  );
}

function Conversation({ thread }: { thread: Thread }) {
  const scroller = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const toEnd = () => scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  const last = thread.messages.at(-1);
  useLayoutEffect(() => { if (follow) toEnd(); }, [follow, last?.text, thread.messages.length, last?.state]);
  return (
    <div className="relative flex min-h-0 flex-1 flex-col">
      <div
        ref={scroller}
        tabIndex={0}
        data-inset
        role="log"
        aria-label={thread.title}
        aria-live="off"
        onScroll={(event) => {
          const box = event.currentTarget;
          setFollow(box.scrollHeight - box.scrollTop - box.clientHeight < 40);
        }}
        className="min-h-0 flex-1 overflow-y-auto"
      >
        <div className="mx-auto max-w-180 px-4 py-4 max-tab:px-3">
          {thread.messages.map((message, i) => <Message key={message.id} message={message} threadId={thread.id} threadTitle={thread.title} last={i === thread.messages.length - 1} />)}
        </div>
      </div>
      <p aria-live="polite" className="sr-only">{last?.role === "assistant" && last.state !== "streaming" ? (last.fault?.title ?? last.text.slice(0, 2_000)) : ""}</p>
      {!follow && (
        <Button small icon={ArrowDown} className="absolute bottom-3 left-1/2 -translate-x-1/2 rounded-full shadow-over" onClick={() => { setFollow(true); toEnd(); }}>{m.to_end()}</Button>
      )}
    </div>
  );
}

function Nothing() {
  const prompts = [m.prompt_1(), m.prompt_2(), m.prompt_3()];
  return (
    <div className="flex min-h-0 flex-1 flex-col justify-center overflow-y-auto">
      <div className="mx-auto w-full max-w-180 px-4 py-6">
        <h2 className="text-xl font-semibold text-fg">{m.chat_empty_title()}</h2>
        <p className="mt-1 text-base">{m.chat_empty_about()}</p>
        <div className="mt-5 flex flex-col gap-2">
          {prompts.map((prompt) => <button key={prompt} type="button" onClick={() => void ask(prompt)} className="min-h-10 rounded-card border border-line-2 bg-raised px-4 py-2.5 text-left text-sm text-fg hover:bg-hover">{prompt}</button>)}
        </div>
      </div>
    </div>
  );
}

function ThreadList({ threads, activeId, onPick }: { threads: Thread[]; activeId: string | null; onPick: () => void }) {
  const remove = (thread: Thread) => {
    const undo = removeThread(thread.id);
    toast(m.chat_removed({ title: thread.title }), { duration: 8_000, action: { label: m.undo(), onClick: undo } });
  };
  return (
    <nav aria-label={m.conversations()} data-pane className="flex min-h-0 flex-1 flex-col bg-panel">
      <div className="flex h-9 shrink-0 items-center border-b border-line pr-1 pl-3">
        <h2 className="label flex-1">{m.conversations()}</h2>
        <IconButton label={m.chat_new()} keys="Alt+N" icon={Plus} onClick={() => { newThread(); onPick(); }} />
      </div>
      {threads.length === 0 && <p className="px-3 py-3 text-xs">{m.conversations_none()}</p>}
      <ul className="min-h-0 flex-1 overflow-y-auto p-1.5">
        {threads.map((thread) => (
          <li key={thread.id} className={cx("group flex items-center rounded-ctl", thread.id === activeId ? "bg-selected" : "hover:bg-hover")}>
            <button type="button" aria-current={thread.id === activeId || undefined} onClick={() => { openThread(thread.id); onPick(); }} className="min-h-11 min-w-0 flex-1 rounded-ctl px-2.5 py-1.5 text-left">
              <span className={cx("block truncate text-sm text-fg", thread.id === activeId && "font-medium")}>{thread.title}</span>
              <span className={cx("block text-xs", thread.messages.at(-1)?.state === "streaming" ? "text-live" : "text-fg-3")}>{thread.messages.at(-1)?.state === "streaming" ? m.run_running() : ago(thread.updatedAt)}</span>
            </button>
            <IconButton label={m.chat_remove({ title: thread.title })} icon={Trash2} size={14} onClick={() => remove(thread)} className="mr-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 [@media(hover:none)]:opacity-100" />
          </li>
        ))}
      </ul>
      <p className="border-t border-line px-3 py-2 text-xs text-fg-3">{m.conversations_local()}{threads.length >= MOST_THREADS && ` ${m.conversations_most({ count: number(MOST_THREADS) })}`}</p>
    </nav>
  );
}

function lastUsed(thread: Thread | undefined): number {
  const cost = thread?.messages.findLast((message) => message.cost)?.cost;
  return cost ? cost.prompt + cost.completion : 0;
}
