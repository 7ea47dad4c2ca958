// The line below a terminal: how long it lives, how full its ring is, and its keys.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useState } from "react";
import { useStore } from "zustand";
import { bytes, span } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Keys } from "../../ui/keys";
import { Tip } from "../../ui/tip";
import type { Session } from "./session";

export function Foot({ session }: { session: Session }) {
  const info = useStore(session.view, (view) => view.info);
  const ended = useStore(session.view, (view) => view.end !== null);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  const { kept } = session.ring();
  const aged = info.openedAt ? Math.max(0, now - timestampMs(info.openedAt)) : 0;
  return (
    <div className="flex h-8 shrink-0 items-center gap-5 overflow-hidden border-t border-line bg-panel px-4 text-xs whitespace-nowrap text-fg-2">
      {!ended && <span className="min-w-0 truncate">{m.terminal_lives({ time: aged < 60_000 ? "< 1 min" : aged < 3_600_000 ? `${Math.floor(aged / 60_000)} min` : span(aged) })}</span>}
      <Tip text={m.terminal_ring_about()}><span className="nums text-fg-3">{m.terminal_ring({ kept: bytes(kept), size: bytes(info.ringBytes) })}</span></Tip>
      <span className="flex-1" />
      <Hint name={m.copy()} keys="Mod+Shift+C" />
      <Hint name={m.terminal_paste()} keys="Mod+Shift+V" />
      <Hint name={m.search()} keys="Mod+Shift+F" />
      <Hint name={m.terminal_leave()} keys="F6" />
    </div>
  );
}

const Hint = ({ name, keys }: { name: string; keys: string }) => <span className="flex items-center gap-1.5 text-fg-3 max-wide:last:flex max-wide:hidden">{name}<Keys keys={keys} /></span>;
