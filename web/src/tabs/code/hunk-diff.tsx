// Two texts side by side in which each difference is decided about: kept as proposed, or put back as it was.
import { Check, ChevronDown, ChevronUp, CornerUpLeft, Undo2 } from "lucide-react";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { explain, type Fault } from "../../api/errors";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button, IconButton } from "../../ui/button";
import { cx } from "../../ui/cx";
import { FaultLine } from "../../ui/fault";
import { usePhone } from "../../ui/media";
import Diff, { Sides } from "./diff";
import { makeZones } from "./hunk-zones";
import { hunksOf, linesOf, nextOpen, textWith, type Decision, type Hunk } from "./hunks";
import type { monaco } from "./monaco";

interface Props {
  path: string;
  /** What was before: where a rejected hunk goes back to. */
  original: string;
  /** What is now, or is proposed. */
  proposed: string;
  /** The names of both. */
  left: string;
  right: string;
  /** What a hunk counts as that nobody has decided about: as proposed where that stands already, as original where it is only proposed. */
  undecided: "proposed" | "original";
  /** Why nothing can be decided at the moment. */
  note?: string | undefined;
  /** Takes the text that the decisions make. Where it rejects, the last decision is taken back and the failure shown. */
  onResolve: (text: string, decisions: readonly Decision[]) => Promise<void>;
}

export function HunkDiff({ path, original, proposed, left, right, undecided, note, onResolve }: Props) {
  const phone = usePhone();
  const [diff, setDiff] = useState<monaco.editor.IStandaloneDiffEditor | null>(null);
  const [hunks, setHunks] = useState<Hunk[] | null>(null);
  const [decisions, setDecisions] = useState<Decision[]>([]);
  const [boxes, setBoxes] = useState<HTMLElement[]>([]);
  const [fault, setFault] = useState<Fault | null>(null);
  const [writing, setWriting] = useState(false);
  const [at, setAt] = useState(0);
  /** Writes go one after the other: which was asked for last, up to which they count no more, what stands. */
  const writes = useRef({ queue: Promise.resolve(), last: 0, void: 0, stored: null as Decision[] | null });
  const onward = useRef(-1);
  const height = phone ? 44 : 30;

  // The first comparison decides what the hunks are; later ones only draw what is left of them.
  useEffect(() => {
    if (!diff || hunks) return;
    const take = () => {
      const changes = diff.getLineChanges();
      if (!changes) return;
      setHunks(hunksOf(changes));
      setDecisions(changes.map(() => "open"));
      if (changes[0]) diff.getModifiedEditor().revealLineInCenter(Math.max(1, changes[0].modifiedStartLineNumber));
    };
    const listener = diff.onDidUpdateDiff(take);
    take();
    return () => listener.dispose();
  }, [diff, hunks]);
  // A diff made anew, as on another width, draws the same hunks.
  useLayoutEffect(() => {
    const editor = diff?.getModifiedEditor();
    const model = editor?.getModel();
    if (!editor || !model || !hunks) return;
    const shown = textWith(original, proposed, hunks, (i) => decisions[i] === "rejected");
    const top = editor.getScrollTop();
    if (model.getValue() !== shown) model.pushEditOperations([], [{ range: model.getFullModelRange(), text: shown }], () => null);
    const zones = makeZones(editor, linesOf(hunks, decisions), height);
    editor.setScrollTop(top);
    setBoxes(zones.boxes);
    return zones.remove;
  }, [diff, hunks, decisions, original, proposed, height]);

  const show = (wanted: number) => {
    if (!diff || !hunks || wanted < 0) return;
    setAt(wanted);
    diff.getModifiedEditor().revealLineInCenter(linesOf(hunks, decisions)[wanted] ?? 1);
    requestAnimationFrame(() => boxes[wanted]?.querySelector("button")?.focus());
  };
  // The boxes are made anew with each decision; then the focus goes on to what is still open.
  useEffect(() => {
    const wanted = onward.current;
    onward.current = -1;
    if (wanted >= 0 && boxes.length > 0) show(wanted);
  // Only new boxes are gone on to.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [boxes]);
  const decide = (next: Decision[], from: number) => {
    if (!hunks) return;
    const { current: w } = writes;
    const mine = (w.last += 1);
    onward.current = from < 0 ? -1 : next[from] === "open" ? from : nextOpen(next, from);
    setDecisions(next);
    setFault(null);
    setWriting(true);
    const text = textWith(original, proposed, hunks, (i) => next[i] === "rejected" || (next[i] === "open" && undecided === "original"));
    w.queue = w.queue.then(async () => {
      if (mine <= w.void) return;
      try {
        await onResolve(text, next);
        w.stored = next;
      } catch (cause) {
        // What waited behind it was decided on top of it, and goes with it.
        w.void = w.last;
        setDecisions(w.stored ?? next.map(() => "open"));
        setFault(explain(cause));
      }
      if (mine === w.last || mine <= w.void) setWriting(false);
    });
  };
  const one = (which: number, decision: Decision) => decide(decisions.map((now, i) => (i === which ? decision : now)), which);
  const all = (decision: Decision) => decide(decisions.map(() => decision), -1);
  const count = hunks?.length ?? 0;
  const open = decisions.filter((decision) => decision === "open").length;
  const off = note !== undefined;
  const status = hunks === null ? "" : count === 0 ? m.hunk_equal() : writing ? m.hunk_writing() : open > 0 ? m.hunk_left({ count: open, shown: number(open) }) : m.hunk_decided();
  return (
    <>
      <Sides left={left} right={right} />
      {(note ?? fault) && <div className="border-b border-line p-2">{fault ? <FaultLine fault={fault} /> : <p role="status" className="rounded-ctl bg-warn-soft px-3 py-2 text-sm text-fg">{note}</p>}</div>}
      <div className="flex h-[46vh] min-h-40 flex-col">
        <Diff path={path} before={original} after={proposed} label={m.conflict_compare({ left, right })} onReady={setDiff} />
      </div>
      {boxes.map((box, i) => createPortal(<Bar key={i} at={i} of={count} decision={decisions[i] ?? "open"} off={off} onDecide={(decision) => one(i, decision)} />, box))}
      {count > 0 && (
        <div className="flex min-h-10 flex-wrap items-center gap-2 border-t border-line px-5 py-1.5 max-tab:px-4">
          <IconButton label={m.hunk_previous()} icon={ChevronUp} onClick={() => show((at - 1 + count) % count)} />
          <IconButton label={m.hunk_next()} icon={ChevronDown} onClick={() => show(document.activeElement?.closest("[data-hunk]") || at > 0 || decisions[0] !== "open" ? (at + 1) % count : 0)} />
          <p role="status" className="nums min-w-0 flex-1 text-xs text-fg-3">{status}</p>
          <Button small disabled={off || open === 0} onClick={() => all("kept")}>{m.hunk_all()}</Button>
          <Button small disabled={off || decisions.every((decision) => decision === "rejected")} onClick={() => all("rejected")}>{m.hunk_none()}</Button>
        </div>
      )}
    </>
  );
}

function Bar({ at, of, decision, off, onDecide }: { at: number; of: number; decision: Decision; off: boolean; onDecide: (decision: Decision) => void }) {
  const n = number(at + 1);
  const settled = decision !== "open";
  return (
    <div data-hunk={at} role="group" aria-label={m.hunk_bar({ at: n, of: number(of) })} className={cx("flex h-full items-center gap-1.5 border-y border-line px-2 font-sans text-xs", settled ? "bg-panel text-fg-3" : "bg-raised text-fg-2")}>
      <span className="nums min-w-0 flex-1 truncate">{m.hunk_bar({ at: n, of: number(of) })}{settled && <span className={decision === "kept" ? "text-ok" : "text-warn"}> · {decision === "kept" ? m.hunk_kept() : m.hunk_rejected()}</span>}</span>
      {settled ? <Button small tone="quiet" icon={Undo2} disabled={off} aria-label={m.hunk_undo_named({ at: n })} onClick={() => onDecide("open")}>{m.hunk_undo()}</Button> : (
        <>
          <Button small tone="quiet" icon={Check} disabled={off} aria-label={m.hunk_accept_named({ at: n })} onClick={() => onDecide("kept")}>{m.hunk_accept()}</Button>
          <Button small tone="quiet" icon={CornerUpLeft} disabled={off} aria-label={m.hunk_reject_named({ at: n })} onClick={() => onDecide("rejected")}>{m.hunk_reject()}</Button>
        </>
      )}
    </div>
  );
}
