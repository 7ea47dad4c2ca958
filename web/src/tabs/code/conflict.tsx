// Somebody changed the file meanwhile: shows yours, theirs and both merged, and saves what the person chooses.
import { useRef, useState } from "react";
import { number } from "../../lib/format";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogFoot } from "../../ui/dialog";
import { Segmented } from "../../ui/segmented";
import Diff, { Sides } from "./diff";
import { keepEditing, modelOf, settle, takeTheirs, type Conflict as Between } from "./files";
import { nameOf } from "./rows";

type Choice = "mine" | "theirs" | "merged";
const marker = /^(<{7}|>{7})/m;

export function Conflict({ path, conflict }: { path: string; conflict: Between }) {
  const [choice, setChoice] = useState<Choice>("merged");
  const [merged, setMerged] = useState(conflict.merged);
  const save = useRef<HTMLButtonElement>(null);
  const [mine] = useState(() => modelOf(path)?.getValue() ?? "");
  const name = nameOf(path);
  if (conflict.version === 0n) {
    return (
      <Dialog open onClose={() => keepEditing(path)} title={m.conflict_gone_title({ name })} about={m.conflict_gone_about()}>
        <DialogFoot>
          <Button onClick={() => keepEditing(path)}>{m.conflict_keep()}</Button>
          <Button tone="primary" onClick={() => void settle(path, mine)}>{m.conflict_save_again()}</Button>
        </DialogFoot>
      </Dialog>
    );
  }
  const open = choice === "merged" && marker.test(merged);
  const sides = {
    mine: { before: conflict.theirs, after: mine, left: m.conflict_theirs(), right: m.conflict_mine(), verb: m.conflict_save_mine() },
    theirs: { before: mine, after: conflict.theirs, left: m.conflict_mine(), right: m.conflict_theirs(), verb: m.conflict_take() },
    merged: { before: conflict.theirs, after: merged, left: m.conflict_theirs(), right: m.conflict_merged(), verb: m.conflict_save_merged() },
  }[choice];
  const decide = () => {
    if (choice === "theirs") takeTheirs(path);
    else void settle(path, choice === "mine" ? mine : merged);
  };
  return (
    <Dialog
      open
      wide="full"
      onClose={() => keepEditing(path)}
      title={m.conflict_title({ name, version: number(conflict.version) })}
      about={conflict.overlaps ? m.conflict_about_overlaps() : m.conflict_about_clean()}
      onOpenAutoFocus={(event) => {
        event.preventDefault();
        save.current?.focus();
      }}
    >
      <div className="px-5 pb-3 max-tab:px-4">
        <Segmented label={m.conflict_choose()} value={choice} onChange={setChoice} options={[{ value: "mine", label: m.conflict_mine() }, { value: "theirs", label: m.conflict_theirs() }, { value: "merged", label: m.conflict_merged() }]} />
      </div>
      <Sides left={sides.left} right={sides.right} />
      <div className="flex h-[46vh] min-h-40">
        <Diff key={choice} path={path} before={sides.before} after={sides.after} label={m.conflict_compare({ left: sides.left, right: sides.right })} {...(choice === "merged" ? { onChange: setMerged } : {})} />
      </div>
      <DialogFoot>
        {open && <p className="mr-auto text-xs text-warn">{m.conflict_markers()}</p>}
        <Button onClick={() => keepEditing(path)}>{m.conflict_keep()}</Button>
        <Button ref={save} tone="primary" disabled={open} onClick={decide}>{sides.verb}</Button>
      </DialogFoot>
    </Dialog>
  );
}
