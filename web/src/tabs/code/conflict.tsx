// Somebody changed the file meanwhile: shows both texts and lets the person decide.
import { useEffect, useRef, useState } from "react";
import { number } from "../../lib/format";
import { useTheme } from "../../lib/theme";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogFoot } from "../../ui/dialog";
import { usePhone } from "../../ui/media";
import { keepEditing, modelOf, saveFile, takeTheirs } from "./files";
import { applyTheme, monaco } from "./monaco";

export function Conflict({ path, conflict }: { path: string; conflict: { version: bigint; text: string } }) {
  const [box, setBox] = useState<HTMLDivElement | null>(null);
  const keep = useRef<HTMLButtonElement>(null);
  const theme = useTheme((s) => s.theme);
  const phone = usePhone();
  const name = path.split("/").at(-1) ?? path;
  const gone = conflict.version === 0n;
  useEffect(() => {
    const mine = modelOf(path);
    if (!box || !mine) return;
    applyTheme(theme);
    const theirs = monaco.editor.createModel(conflict.text, mine.getLanguageId());
    const diff = monaco.editor.createDiffEditor(box, { automaticLayout: true, readOnly: true, originalEditable: false, renderSideBySide: !phone, minimap: { enabled: false }, fontFamily: '"JetBrains Mono Variable", monospace', fontLigatures: false, fontSize: 12.5, lineHeight: 20, scrollBeyondLastLine: false, renderOverviewRuler: false });
    diff.setModel({ original: theirs, modified: mine });
    return () => {
      diff.dispose();
      theirs.dispose();
    };
  }, [box, path, conflict, theme, phone]);
  return (
    <Dialog
      open
      wide="full"
      onClose={() => keepEditing(path)}
      title={gone ? m.conflict_gone_title({ name }) : m.conflict_title({ name, version: number(conflict.version) })}
      about={gone ? m.conflict_gone_about() : m.conflict_about()}
      onOpenAutoFocus={(event) => {
        event.preventDefault();
        keep.current?.focus();
      }}
    >
      <div className="grid grid-cols-2 border-y border-line px-5 py-1.5 text-xs"><span>{m.conflict_theirs()}</span><span>{m.conflict_mine()}</span></div>
      <div ref={setBox} className="font-code h-[46vh] min-h-40" />
      <DialogFoot>
        <Button ref={keep} onClick={() => keepEditing(path)}>{m.conflict_keep()}</Button>
        {!gone && <Button tone="danger-quiet" onClick={() => takeTheirs(path)}>{m.conflict_take()}</Button>}
        <Button tone="primary" onClick={() => void saveFile(path, true)}>{gone ? m.conflict_save_again() : m.conflict_overwrite()}</Button>
      </DialogFoot>
    </Dialog>
  );
}
