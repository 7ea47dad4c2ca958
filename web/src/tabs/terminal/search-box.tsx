// Searches the screen and what scrolled out of it; floats at the top right.
import { SearchAddon } from "@xterm/addon-search";
import { ArrowDown, ArrowUp, Search, X } from "lucide-react";
import { useEffect, useState } from "react";
import { number } from "../../lib/format";
import { useTheme } from "../../lib/theme";
import { m } from "../../paraglide/messages";
import { IconButton } from "../../ui/button";
import { marks } from "./looks";
import type { Session } from "./session";

export default function SearchBox({ session, onClose }: { session: Session; onClose: () => void }) {
  const finder = session.finderOf(() => new SearchAddon({ highlightLimit: 2_000 }));
  const [text, setText] = useState("");
  const [found, setFound] = useState({ at: -1, count: 0 });
  const theme = useTheme((s) => s.theme);
  useEffect(() => {
    const listening = finder.onDidChangeResults(({ resultIndex, resultCount }) => setFound({ at: resultIndex, count: resultCount }));
    return () => {
      listening.dispose();
      finder.clearDecorations();
    };
  }, [finder]);
  useEffect(() => {
    if (text === "") finder.clearDecorations();
    else finder.findPrevious(text, { decorations: marks(), incremental: true });
  }, [finder, text, theme]);
  const next = () => { if (text) finder.findNext(text, { decorations: marks() }); };
  const previous = () => { if (text) finder.findPrevious(text, { decorations: marks() }); };
  const told = text === "" ? "" : found.count === 0 ? m.terminal_search_none() : m.terminal_search_at({ at: found.at < 0 ? "…" : number(found.at + 1), count: number(found.count) });
  return (
    <form
      role="search"
      onSubmit={(event) => { event.preventDefault(); previous(); }}
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
        else if (event.key === "Enter" && event.shiftKey) next();
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
      className="enter absolute top-2.5 right-4 z-10 flex h-10 w-86 items-center gap-1 rounded-card bg-overlay pr-1.5 pl-3 shadow-over max-tab:inset-x-3 max-tab:w-auto"
    >
      <Search size={15} strokeWidth={1.7} aria-hidden className="shrink-0 text-fg-3" />
      <input autoFocus aria-label={m.terminal_search()} placeholder={m.terminal_search()} value={text} maxLength={200} spellCheck={false} onChange={(event) => setText(event.target.value)} className="h-full min-w-0 flex-1 bg-transparent px-1.5 text-sm text-fg outline-none" />
      <span role="status" className="nums shrink-0 text-xs whitespace-nowrap text-fg-3">{told}</span>
      <IconButton label={m.terminal_search_previous()} keys="Enter" icon={ArrowUp} size={15} disabled={found.count === 0} onClick={previous} className="max-tab:size-9" />
      <IconButton label={m.terminal_search_next()} keys="Shift+Enter" icon={ArrowDown} size={15} disabled={found.count === 0} onClick={next} className="max-tab:size-9" />
      <IconButton label={m.close()} keys="Escape" icon={X} size={15} onClick={onClose} className="max-tab:size-9" />
    </form>
  );
}
