// The Terminal tab: shells in the sandbox of a workspace, several side by side as tabs, back after every loss.
import "@xterm/xterm/css/xterm.css";
import { useQuery } from "@connectrpc/connect-query";
import { useParams } from "@tanstack/react-router";
import { ArrowLeft, ArrowRight, Copy, Eraser, Plus, Search, SquareTerminal, X } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { explain, reasonOf } from "../../api/errors";
import { amend } from "../../api/query";
import { terminals as client } from "../../api/terminals";
import { PortService, TerminalService, TerminalState, type Terminal } from "../../gen/devstudio/sandbox/v1/terminal_pb";
import { WorkspaceService } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { useCommands } from "../../lib/commands";
import { go } from "../../lib/nav";
import { usePlace } from "../../lib/place";
import { useStatus } from "../../lib/status";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { copyText } from "../../ui/copy";
import { Confirm } from "../../ui/dialog";
import { FaultPane } from "../../ui/fault";
import { Waiting } from "../../ui/tag";
import { toast } from "../../ui/toast";
import { tried } from "../../ui/tried";
import { TerminalScreen } from "./screen";
import { forget, keepOnly, lastShown, sessionOf } from "./sessions";
import { Strip } from "./strip";

export default function TerminalTab() {
  const place = usePlace();
  const spaces = useQuery(WorkspaceService.method.listWorkspaces, {});
  const workspaceId = place || (spaces.data?.workspaces.find((w) => w.isDefault)?.workspaceId ?? "");
  const fault = place === "" && spaces.error && !spaces.data ? spaces.error : null;
  if (fault) return <FaultPane fault={explain(fault)} onRetry={() => void spaces.refetch()} />;
  if (workspaceId === "") return <Waiting rows={8} height={22} label={m.loading()} />;
  return <Terminals key={workspaceId} workspaceId={workspaceId} />;
}

function Terminals({ workspaceId }: { workspaceId: string }) {
  const { terminalId = "" } = useParams({ strict: false }) as { terminalId?: string };
  const list = useQuery(TerminalService.method.listTerminals, { workspaceId }, { refetchInterval: 10_000 });
  const [closing, setClosing] = useState<{ terminal: Terminal; name: string } | null>(null);
  /** The closed one that the address still names, for the moment until it does not. */
  const [closed, setClosed] = useState("");
  const [opening, setOpening] = useState(false);
  const [searching, setSearching] = useState(false);
  const room = useRef<HTMLDivElement>(null);
  /** The address as it is now, for answers that come late; null once the person is somewhere else. */
  const address = useRef<string | null>(null);
  const all = useMemo(() => list.data?.terminals ?? [], [list.data]);
  const active = all.find((terminal) => terminal.terminalId === terminalId);
  const session = active && sessionOf(active);
  const ports = useQuery(PortService.method.listPorts, { workspaceId }, { refetchInterval: 10_000, enabled: all.length > 0 });
  const show = (id: string, replace = false) => go(id ? `/terminal/${id}` : "/terminal", {}, replace);

  useEffect(() => {
    address.current = terminalId;
    return () => {
      address.current = null;
      setClosed("");
    };
  }, [terminalId]);
  useEffect(() => {
    if (!list.data) return;
    keepOnly(workspaceId, list.data.terminals);
    // All are attached, so that each shows at once what it did meanwhile and lives as long as this page.
    for (const terminal of list.data.terminals) sessionOf(terminal);
  }, [list.data, workspaceId]);
  useEffect(() => {
    if (terminalId !== "" || all.length === 0) return;
    const last = lastShown.get(workspaceId);
    show(all.find((terminal) => terminal.terminalId === last)?.terminalId ?? all.at(-1)?.terminalId ?? "", true);
  }, [terminalId, all, workspaceId]);
  useEffect(() => {
    if (!active) return;
    lastShown.set(workspaceId, active.terminalId);
    useStatus.setState({ object: nameOf(active, all) });
    return () => useStatus.setState({ object: "" });
  }, [active, all, workspaceId]);

  const open = async () => {
    if (opening) return;
    setOpening(true);
    await tried(async () => {
      const { terminal } = await client.openTerminal({ workspaceId, ...sizeOf(session?.view.getState().size, room.current) }).catch((cause: unknown) => {
        if (reasonOf(cause) !== "QUOTA_EXCEEDED") throw cause;
        toast.error(m.terminal_quota(), { description: m.terminal_quota_action() });
        return { terminal: undefined };
      });
      if (!terminal) return;
      sessionOf(terminal, true);
      await list.refetch();
      if (address.current !== null) show(terminal.terminalId);
    });
    setOpening(false);
  };
  const close = async ({ terminalId: id }: Terminal) => {
    await client.closeTerminal({ terminalId: id });
    setClosed(id);
    const at = all.findIndex((other) => other.terminalId === id);
    const rest = all.filter((other) => other.terminalId !== id);
    // Out of the list first: whatever is drawn of it would attach to it anew.
    await amend(TerminalService.method.listTerminals, { workspaceId }, (known) => ({ ...known, terminals: known.terminals.filter((other) => other.terminalId !== id) }));
    forget(id);
    if (address.current === id) show(rest[Math.min(at, rest.length - 1)]?.terminalId ?? "", true);
    await list.refetch();
  };
  const askToClose = (terminal: Terminal) => {
    const own = sessionOf(terminal);
    const runs = terminal.state === TerminalState.RUNNING && own.view.getState().end === null;
    if (runs && (own.typed || own.ring().kept > 2_048)) setClosing({ terminal, name: nameOf(terminal, all) });
    else void tried(() => close(terminal));
  };
  const step = (by: number) => {
    const next = all[(all.findIndex((terminal) => terminal.terminalId === terminalId) + by + all.length) % all.length];
    if (next) show(next.terminalId);
  };
  useCommands("terminals", [
    { id: "terminal-new", title: m.terminal_new(), group: "terminal", icon: Plus, keys: "Mod+Alt+N", run: () => void open() },
    ...(active ? [{ id: "terminal-close", title: m.terminal_close(), group: "terminal" as const, icon: X, keys: "Mod+Alt+W", run: () => askToClose(active) }] : []),
    ...(all.length > 1 ? [
      { id: "terminal-next", title: m.terminal_next(), group: "terminal" as const, icon: ArrowRight, keys: "Mod+Shift+ArrowRight", run: () => step(1) },
      { id: "terminal-previous", title: m.terminal_previous(), group: "terminal" as const, icon: ArrowLeft, keys: "Mod+Shift+ArrowLeft", run: () => step(-1) },
    ] : []),
    ...(session ? [
      { id: "terminal-search", title: m.terminal_search(), group: "terminal" as const, icon: Search, keys: "Mod+Shift+F", run: () => setSearching(true) },
      { id: "terminal-copy", title: m.terminal_copy(), group: "terminal" as const, icon: Copy, keys: "Mod+Shift+C", run: () => { if (session.screen.hasSelection()) copyText(session.screen.getSelection()); } },
      { id: "terminal-clear", title: m.terminal_clear(), group: "terminal" as const, icon: Eraser, keys: "Mod+Shift+K", run: () => { session.screen.clear(); session.screen.focus(); } },
      { id: "terminal-reader", title: session.screen.options.screenReaderMode ? m.terminal_reader_off() : m.terminal_reader(), group: "terminal" as const, run: () => { session.screen.options.screenReaderMode = !session.screen.options.screenReaderMode; session.screen.focus(); } },
    ] : []),
  ]);

  if (list.isPending) return <Waiting rows={8} height={22} label={m.loading()} />;
  if (list.error && !list.data) return <FaultPane fault={explain(list.error)} onRetry={() => void list.refetch()} />;
  return (
    <div ref={room} className="flex min-h-0 flex-1 flex-col">
      {all.length > 0 && <Strip terminals={all} active={active} names={(terminal) => nameOf(terminal, all)} opening={opening} onShow={show} onClose={askToClose} onNew={() => void open()} onSearch={() => setSearching(true)} />}
      {session && active ? (
        <TerminalScreen key={active.terminalId} session={session} ports={(ports.data?.ports ?? []).filter((port) => port.terminalId === active.terminalId).map((port) => port.port)} searching={searching} onSearch={setSearching} onNew={() => void open()} onClose={() => askToClose(active)} />
      ) : terminalId !== "" && terminalId !== closed && !list.isFetching ? (
        <Blank title={m.terminal_gone()} about={m.terminal_gone_about()}>
          {all.length > 0 && <Button onClick={() => show("")}>{m.terminal_other()}</Button>}
          <Button tone="primary" icon={Plus} busy={opening} onClick={() => void open()}>{m.terminal_new()}</Button>
        </Blank>
      ) : all.length === 0 ? (
        <Blank title={m.terminal_none()} about={m.terminal_about()}>
          <Button tone="primary" icon={SquareTerminal} busy={opening} onClick={() => void open()}>{m.terminal_open()}</Button>
        </Blank>
      ) : <Waiting rows={8} height={22} label={m.loading()} />}
      <Confirm
        open={closing !== null}
        onClose={() => setClosing(null)}
        title={m.terminal_close_title({ name: closing?.name ?? "" })}
        about={m.terminal_close_about()}
        verb={m.terminal_close()}
        onConfirm={async () => { if (closing) await close(closing.terminal); }}
      />
    </div>
  );
}

function Blank({ title, about, children }: { title: string; about: string; children: React.ReactNode }) {
  return (
    <section aria-label={m.terminal_tab()} data-pane className="flex min-h-0 flex-1 flex-col items-center justify-center gap-3 bg-editor p-8 text-center">
      <h2 className="text-xl font-semibold text-fg">{title}</h2>
      <p className="max-w-110 text-base">{about}</p>
      <div className="mt-1 flex flex-wrap justify-center gap-2">{children}</div>
    </section>
  );
}

/** A terminal's name; one that has none is counted. */
function nameOf(terminal: Terminal, all: Terminal[]): string {
  return terminal.title || m.terminal_named({ number: String(all.findIndex((other) => other.terminalId === terminal.terminalId) + 1) });
}

/** The size that a new terminal will have, so that its program need not be told another one at once. */
function sizeOf(known: { columns: number; rows: number } | undefined, room: HTMLElement | null): { columns: number; rows: number } {
  if (known && known.columns > 1) return known;
  return { columns: Math.max(20, Math.floor(((room?.clientWidth ?? 700) - 40) / 8.1)), rows: Math.max(8, Math.floor(((room?.clientHeight ?? 600) - 104) / 22)) };
}
