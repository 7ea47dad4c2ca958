// The palette behind Ctrl K: commands, files, conversations and runs, found by typing.
import { useQuery } from "@connectrpc/connect-query";
import { Command as Cmdk } from "cmdk";
import { ChevronRight, FileCode2, MessageSquare, Play, Search, X } from "lucide-react";
import { Dialog } from "radix-ui";
import { useState, type ReactNode } from "react";
import { SandboxService } from "../gen/devstudio/sandbox/v1/run_pb";
import { EntryKind, WorkspaceService } from "../gen/devstudio/sandbox/v1/workspace_pb";
import { openThread, useChat } from "../lib/chat";
import { allCommands } from "../lib/commands";
import { runEnd } from "../lib/engines";
import { number } from "../lib/format";
import { go } from "../lib/nav";
import { here } from "../lib/place";
import { showFile } from "../lib/workbench";
import { m } from "../paraglide/messages";
import { Keys } from "../ui/keys";
import { groupNames } from "./groups";

export default function Palette({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const files = useQuery(WorkspaceService.method.listFiles, { workspaceId: here() });
  const runs = useQuery(SandboxService.method.listRuns, { pageSize: 20 });
  const threads = useChat((s) => s.threads);
  const onlyCommands = query.startsWith(">");
  const text = query.replace(/^>/, "").trim();
  const commands = allCommands().filter((c) => !c.hidden);
  const [foundFiles, moreFiles] = first((files.data?.entries ?? []).filter((f) => f.kind === EntryKind.FILE && fits(f.path, text)), text ? 20 : 6);
  const [foundThreads, moreThreads] = first(threads.filter((t) => fits(t.title, text)), 5);
  const [foundRuns, moreRuns] = first((runs.data?.runs ?? []).filter((r) => fits(r.title, text)), 5);
  const act = (run: () => void) => {
    onClose();
    setTimeout(run, 0);
  };
  return (
    <Dialog.Root open onOpenChange={(open) => { if (!open) onClose(); }}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 bg-scrim" />
        <Dialog.Content aria-describedby={undefined} className="enter fixed z-50 flex flex-col overflow-hidden bg-overlay shadow-over focus:outline-none max-tab:inset-0 tab:top-23 tab:left-1/2 tab:max-h-[calc(100vh-140px)] tab:w-160 tab:-translate-x-1/2 tab:rounded-card">
          <Dialog.Title className="sr-only">{m.search_or_command()}</Dialog.Title>
          <Cmdk label={m.search_or_command()} shouldFilter={false} loop className="flex min-h-0 flex-1 flex-col">
            <div className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-4">
              <Search size={17} strokeWidth={1.7} aria-hidden className="text-fg-3" />
              <Cmdk.Input value={query} onValueChange={setQuery} placeholder={m.search_or_command()} className="h-full flex-1 bg-transparent text-lg text-fg outline-none" />
              <Dialog.Close className="flex items-center justify-center rounded-tag px-1 max-tab:size-10" aria-label={m.close()}><span className="phone-hidden"><Keys keys="Escape" /></span><X size={18} strokeWidth={1.7} aria-hidden className="tab:hidden" /></Dialog.Close>
            </div>
            <Cmdk.List className="min-h-0 flex-1 overflow-y-auto p-1.5 tab:max-h-110">
              <Cmdk.Empty className="px-3 py-6 text-center text-sm">{m.palette_nothing({ text })}</Cmdk.Empty>
              <Group heading={m.group_commands()}>
                {commands.filter((c) => fits(c.title, text)).map((c) => (
                  <Item key={c.id} value={`c ${c.id}`} icon={c.icon ?? ChevronRight} onSelect={() => act(c.run)} title={<Found text={c.title} query={text} />} note={groupNames[c.group]()} keys={c.keys} />
                ))}
              </Group>
              {!onlyCommands && (
                <>
                  <Group heading={m.files()} more={moreFiles}>
                    {foundFiles.map((f) => (
                      <Item key={f.path} value={`f ${f.path}`} icon={FileCode2} onSelect={() => act(() => showFile(f.path))} title={<Found text={f.path} query={text} />} />
                    ))}
                  </Group>
                  <Group heading={m.group_threads_runs()} more={moreThreads + moreRuns}>
                    {foundThreads.map((t) => (
                      <Item key={t.id} value={`t ${t.id}`} icon={MessageSquare} onSelect={() => act(() => { openThread(t.id); go("/chat"); })} title={<Found text={t.title} query={text} />} />
                    ))}
                    {foundRuns.map((r) => (
                      <Item key={r.execId} value={`r ${r.execId}`} icon={Play} onSelect={() => act(() => go(`/run/${r.execId}`))} title={<Found text={r.title} query={text} />} note={`${r.engine} · ${runEnd(r.status, r.exitCode).word}`} />
                    ))}
                  </Group>
                </>
              )}
            </Cmdk.List>
            <div className="flex h-9 shrink-0 items-center gap-4 border-t border-line px-4 text-xs text-fg-3 phone-hidden">
              <span className="flex items-center gap-1.5"><Keys keys="ArrowUp" /><Keys keys="ArrowDown" />{m.palette_select()}</span>
              <span className="flex items-center gap-1.5"><Keys keys="Enter" />{m.palette_run()}</span>
              <span className="ml-auto flex items-center gap-1.5"><Keys keys=">" />{m.palette_commands_only()}</span>
            </div>
          </Cmdk>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** `more`: so many fit besides those that are shown. */
const Group = ({ heading, more = 0, children }: { heading: string; more?: number; children: ReactNode }) => (
  <Cmdk.Group heading={heading} className="[&_[cmdk-group-heading]]:label [&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1">
    {children}
    {more > 0 && <div role="presentation" className="px-2.5 py-1.5 text-xs text-fg-3">{m.palette_more({ count: number(more) })}</div>}
  </Cmdk.Group>
);

const first = <T,>(all: T[], most: number): [shown: T[], more: number] => [all.slice(0, most), Math.max(0, all.length - most)];

function Item({ value, icon: Icon, onSelect, title, note, keys }: { value: string; icon: typeof Play; onSelect: () => void; title: ReactNode; note?: string; keys?: string | undefined }) {
  return (
    <Cmdk.Item value={value} onSelect={onSelect} className="flex h-9 cursor-pointer items-center gap-3 rounded-ctl px-2.5 text-sm text-fg data-[selected=true]:bg-selected max-tab:h-11">
      <Icon size={16} strokeWidth={1.7} aria-hidden className="shrink-0 text-fg-3" />
      <span className="min-w-0 flex-1 truncate">{title}{note && <span className="ml-2 text-xs text-fg-3">{note}</span>}</span>
      {keys && <span className="phone-hidden"><Keys keys={keys} /></span>}
    </Cmdk.Item>
  );
}

const fits = (text: string, query: string) => query.toLowerCase().split(/\s+/).every((part) => text.toLowerCase().includes(part));

function Found({ text, query }: { text: string; query: string }) {
  const at = query ? text.toLowerCase().indexOf(query.toLowerCase()) : -1;
  if (at < 0) return text;
  return <>{text.slice(0, at)}<strong className="font-semibold text-accent-text">{text.slice(at, at + query.length)}</strong>{text.slice(at + query.length)}</>;
}
