// Two texts side by side, in Monaco; below each other on the phone.
import { useEffect, useRef, useState } from "react";
import { useTheme } from "../../lib/theme";
import { usePhone } from "../../ui/media";
import { applyTheme, looks, monaco } from "./monaco";

interface Props { path: string; before: string; after: string; label: string; onChange?: (text: string) => void; onReady?: (diff: monaco.editor.IStandaloneDiffEditor | null) => void }

/** Shows the way from one text to another; the second can be edited where somebody listens. */
export default function Diff({ path, before, after, label, onChange, onReady }: Props) {
  const [box, setBox] = useState<HTMLDivElement | null>(null);
  const theme = useTheme((s) => s.theme);
  const phone = usePhone();
  const listener = useRef(onChange);
  const ready = useRef(onReady);
  const editable = onChange !== undefined;
  useEffect(() => { listener.current = onChange; ready.current = onReady; });
  useEffect(() => applyTheme(theme), [theme]);
  useEffect(() => {
    if (!box) return;
    // The name alone decides the language; the models have addresses of their own.
    const uri = (side: string) => monaco.Uri.from({ scheme: "diff", authority: side, path: `/${path}`, query: String(Math.random()) });
    const original = monaco.editor.createModel(before, undefined, uri("before"));
    const modified = monaco.editor.createModel(after, undefined, uri("after"));
    const diff = monaco.editor.createDiffEditor(box, {
      ...looks(phone),
      readOnly: !editable,
      originalEditable: false,
      renderSideBySide: !phone,
      useInlineViewWhenSpaceIsLimited: false,
      originalAriaLabel: label,
      modifiedAriaLabel: label,
      lineNumbersMinChars: 3,
      lineDecorationsWidth: 24,
      renderLineHighlight: editable ? "all" : "none",
      renderOverviewRuler: false,
      renderMarginRevertIcon: false,
      renderGutterMenu: false,
      ignoreTrimWhitespace: false,
      tabFocusMode: !editable,
    });
    diff.setModel({ original, modified });
    ready.current?.(diff);
    const changes = modified.onDidChangeContent(() => listener.current?.(modified.getValue()));
    return () => {
      ready.current?.(null);
      changes.dispose();
      diff.dispose();
      original.dispose();
      modified.dispose();
    };
  // What is typed into the second text comes back as `after`; only other texts make another view.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [box, path, before, editable ? null : after, editable, label, phone]);
  return <div ref={setBox} role="group" aria-label={label} className="font-code min-h-0 flex-1 overflow-hidden" />;
}

/** The names of the two texts above them; with the signs of the lines where they stand below each other. */
export const Sides = ({ left, right }: { left: string; right: string }) => (
  <div className="grid grid-cols-2 border-y border-line px-5 py-1.5 text-xs max-tab:px-4">
    <span><span aria-hidden className="font-code text-del-fg tab:hidden">− </span>{left}</span>
    <span><span aria-hidden className="font-code text-add-fg tab:hidden">+ </span>{right}</span>
  </div>
);
