// A terminal's screen with what is told above and below it: a lost connection, refused files, open ports, its end.
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { useStore } from "zustand";
import { usePhone } from "../../ui/media";
import { PortChips, PreviewMissing, showPort } from "../../ui/port-chips";
import { m } from "../../paraglide/messages";
import { EndBar, LostBar, RejectedBar } from "./bars";
import { linkOf } from "./bytes";
import { Foot } from "./foot";
import { FONT, fontSize } from "./looks";
import type { Session } from "./session";

const KeyRow = lazy(() => import("./key-row"));
const LinkDialog = lazy(() => import("./link-dialog"));
const ScreenMenu = lazy(() => import("./screen-menu"));
const SearchBox = lazy(() => import("./search-box"));

interface Props { session: Session; ports: number[]; searching: boolean; onSearch: (on: boolean) => void; onNew: () => void; onClose: () => void }

export function TerminalScreen({ session, ports, searching, onSearch, onNew, onClose }: Props) {
  const phone = usePhone();
  const box = useRef<HTMLDivElement>(null);
  const view = useStore(session.view);
  const [menu, setMenu] = useState<{ x: number; y: number } | null>(null);
  const [missing, setMissing] = useState(false);
  const open = view.end ? [] : (view.ports ?? ports);

  useEffect(() => {
    const into = box.current;
    if (!into) return;
    let gone = false;
    const watcher = new ResizeObserver(() => requestAnimationFrame(() => { if (!gone) session.fit(); }));
    const claim = () => session.claim();
    // Xterm measures the font once, so it has to be there.
    void Promise.race([document.fonts.load(`${fontSize(phone)}px ${FONT}`), new Promise((resolve) => setTimeout(resolve, 2_000))]).finally(() => {
      if (gone) return;
      session.show(into);
      watcher.observe(into);
      if (!document.querySelector("[role=dialog]") && !phone) session.screen.focus();
    });
    addEventListener("focus", claim);
    return () => {
      gone = true;
      watcher.disconnect();
      removeEventListener("focus", claim);
      session.hide();
    };
  }, [session, phone]);

  const visit = useCallback((address: string) => {
    const link = linkOf(address);
    if (!link) return;
    if (link.port !== null) void showPort(session.view.getState().info.workspaceId, link.port).then((done) => { if (!done) setMissing(true); });
    else window.open(link.href, "_blank", "noopener,noreferrer");
  }, [session]);
  useEffect(() => session.whenClicked(visit), [session, visit]);

  const leaveSearch = () => {
    onSearch(false);
    session.screen.focus();
  };
  return (
    <>
      <PortChips workspaceId={view.info.workspaceId} ports={open} />
      <LostBar tie={view.tie} ended={view.end !== null} onRetry={() => session.retry()} />
      <RejectedBar rejected={view.rejected} onClose={() => session.view.setState({ rejected: {} })} />
      <section aria-label={m.terminal_screen()} data-pane className="relative flex min-h-0 flex-1 flex-col bg-editor">
        <div
          ref={box}
          data-terminal
          onContextMenu={(event) => {
            // A program that reads the mouse gets the right button itself; with Shift there is the browser's own menu.
            if (event.shiftKey) return;
            event.preventDefault();
            if (session.screen.modes.mouseTrackingMode === "none") setMenu({ x: event.clientX, y: event.clientY });
          }}
          className="min-h-0 flex-1 overflow-hidden py-2.5 pr-1 pl-4 max-tab:pl-3"
        />
        {searching && <Suspense><SearchBox session={session} onClose={leaveSearch} /></Suspense>}
      </section>
      {view.end && <EndBar end={view.end} onNew={onNew} onClose={onClose} />}
      {phone ? !view.end && <Suspense fallback={<div className="h-14 shrink-0 border-t border-line bg-panel" />}><KeyRow session={session} /></Suspense> : <Foot session={session} />}
      {menu && <Suspense><ScreenMenu session={session} at={menu} onClose={() => setMenu(null)} onSearch={() => onSearch(true)} onNew={onNew} /></Suspense>}
      {view.asked !== null && <Suspense><LinkDialog address={view.asked} onClose={() => session.view.setState({ asked: null })} onOpen={visit} /></Suspense>}
      <PreviewMissing open={missing} onClose={() => setMissing(false)} />
    </>
  );
}
