// Searches the text of all files; a click opens the file at the line.
import { CaseSensitive, Regex, WholeWord, type LucideIcon } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { create } from "zustand";
import { explain, wasCancelled, type Fault } from "../../api/errors";
import { workspace } from "../../api/workspace";
import type { SearchFilesResponse } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { here } from "../../lib/place";
import { onLeaveWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { Input, SearchInput } from "../../ui/field";
import { Tip } from "../../ui/tip";
import { SearchResults } from "./search-results";

interface Search { query: string; matchCase: boolean; wholeWord: boolean; regex: boolean; include: string; exclude: string; found: SearchFilesResponse | null; fault: Fault | null; busy: boolean }
const empty: Search = { query: "", matchCase: false, wholeWord: false, regex: false, include: "", exclude: "", found: null, fault: null, busy: false };
const useSearch = create<Search>(() => empty);
onLeaveWorkbench(() => useSearch.setState(empty));

const WAIT_MS = 250;
const globs = (text: string) => text.split(",").map((glob) => glob.trim()).filter(Boolean);

export default function SearchPanel() {
  const { query, matchCase, wholeWord, regex, include, exclude, found, fault, busy } = useSearch();
  const input = useRef<HTMLInputElement>(null);
  const [now, setNow] = useState(0);
  useEffect(() => input.current?.select(), []);
  useEffect(() => {
    if (query === "") return useSearch.setState({ found: null, fault: null, busy: false });
    const control = new AbortController();
    const timer = setTimeout(async () => {
      useSearch.setState({ busy: true });
      try {
        const answer = await workspace.searchFiles({ workspaceId: here(), query, matchCase, wholeWord, regex, include: globs(include), exclude: globs(exclude) }, { signal: control.signal });
        useSearch.setState({ found: answer, fault: null, busy: false });
      } catch (cause) {
        if (!wasCancelled(cause) && !control.signal.aborted) useSearch.setState({ found: null, fault: explain(cause), busy: false });
      }
    }, WAIT_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [query, matchCase, wholeWord, regex, include, exclude, now]);
  return (
    <div className="flex min-h-0 flex-1 max-tab:flex-col">
      <form
        role="search"
        aria-label={m.search_files()}
        onSubmit={(event) => {
          event.preventDefault();
          setNow(now + 1);
        }}
        className="flex shrink-0 flex-col gap-2 border-line bg-panel p-3 max-tab:border-b tab:w-76 tab:overflow-y-auto tab:border-r"
      >
        <div className="flex items-center gap-1">
          <SearchInput ref={input} label={m.search_files()} value={query} maxLength={1000} onChange={(event) => useSearch.setState({ query: event.target.value })} className="min-w-0 flex-1" spellCheck={false} autoCapitalize="off" />
          <Toggle icon={CaseSensitive} label={m.search_case()} on={matchCase} onChange={(on) => useSearch.setState({ matchCase: on })} />
          <Toggle icon={WholeWord} label={m.search_word()} on={wholeWord} onChange={(on) => useSearch.setState({ wholeWord: on })} />
          <Toggle icon={Regex} label={m.search_regex()} on={regex} onChange={(on) => useSearch.setState({ regex: on })} />
        </div>
        <div className="flex gap-2 tab:flex-col">
          <Input mono aria-label={m.search_include()} placeholder={m.search_include()} value={include} onChange={(event) => useSearch.setState({ include: event.target.value })} spellCheck={false} />
          <Input mono aria-label={m.search_exclude()} placeholder={m.search_exclude()} value={exclude} onChange={(event) => useSearch.setState({ exclude: event.target.value })} spellCheck={false} />
        </div>
      </form>
      <div className="flex min-h-0 min-w-0 flex-1 flex-col" aria-busy={busy}>
        {fault ? <div className="p-3"><FaultLine fault={fault} /></div> : <SearchResults found={found} query={query} />}
      </div>
    </div>
  );
}

function Toggle({ icon: Icon, label, on, onChange }: { icon: LucideIcon; label: string; on: boolean; onChange: (on: boolean) => void }) {
  return (
    <Tip text={label}>
      <button type="button" aria-label={label} aria-pressed={on} onClick={() => onChange(!on)} className={cx("flex size-7 shrink-0 items-center justify-center rounded-ctl max-tab:size-10", on ? "bg-selected text-fg shadow-[inset_0_0_0_1px_var(--signal)]" : "text-fg-3 hover:bg-hover hover:text-fg")}>
        <Icon size={16} strokeWidth={1.7} aria-hidden />
      </button>
    </Tip>
  );
}
