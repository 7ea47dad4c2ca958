// Imports an archive: choose, say what happens to files that are there, upload, unpack; and the way back.
import { FileArchive, Upload } from "lucide-react";
import { useEffect, useRef, useState, type DragEvent } from "react";
import { explain, reasonOf, wasCancelled, type Fault } from "../api/errors";
import { refetch } from "../api/query";
import { upload } from "../api/upload";
import { archives, snapshots } from "../api/workspace";
import { ArchiveFormat, ImportMode, type ImportArchiveResponse } from "../gen/devstudio/sandbox/v1/archive_pb";
import { SnapshotService } from "../gen/devstudio/sandbox/v1/snapshot_pb";
import { WorkspaceService } from "../gen/devstudio/sandbox/v1/workspace_pb";
import { endArchive, isArchive, type Importing } from "../lib/archives";
import { bytes, number } from "../lib/format";
import { here } from "../lib/place";
import { m } from "../paraglide/messages";
import { Button } from "../ui/button";
import { cx } from "../ui/cx";
import { Dialog, DialogBody, DialogFoot } from "../ui/dialog";
import { FaultLine } from "../ui/fault";
import { Segmented } from "../ui/segmented";
import { toast } from "../ui/toast";
import { tried } from "../ui/tried";
import { Progress } from "./progress";

type Mode = "replace" | "keep" | "refuse";
const modes: Record<Mode, ImportMode> = { replace: ImportMode.REPLACE, keep: ImportMode.KEEP, refuse: ImportMode.REFUSE };
type Step = { at: "asking" } | { at: "sending"; sent: number } | { at: "unpacking" } | { at: "done"; answer: ImportArchiveResponse };

const tellHistory = () => refetch(SnapshotService.method.listSnapshots, SnapshotService.method.listFileHistory, SnapshotService.method.diffSnapshots, WorkspaceService.method.listWorkspaces);

export default function ImportArchive({ asked }: { asked: Importing }) {
  const [file, setFile] = useState(asked.file);
  const [mode, setMode] = useState<Mode>("refuse");
  const [strip, setStrip] = useState(false);
  const [step, setStep] = useState<Step>({ at: "asking" });
  const [fault, setFault] = useState<Fault | null>(null);
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);

  const start = async () => {
    if (!file) return;
    const mine = new AbortController();
    const workspaceId = here();
    control.current = mine;
    setFault(null);
    setStep({ at: "sending", sent: 0 });
    try {
      const { sha256 } = await upload(file, { signal: mine.signal, onProgress: (sent) => setStep({ at: "sending", sent: Math.min(sent, file.size) }) });
      setStep({ at: "unpacking" });
      const answer = await archives.importArchive({ workspaceId, uploadSha256: sha256, path: asked.folder, format: ArchiveFormat.UNSPECIFIED, mode: modes[mode], stripRoot: strip }, { signal: mine.signal });
      tellHistory();
      setStep({ at: "done", answer });
    } catch (cause) {
      setStep({ at: "asking" });
      if (wasCancelled(cause)) return;
      const told = explain(cause);
      setFault(reasonOf(cause) === "ALREADY_EXISTS" ? { ...told, title: m.archive_err_exists(), action: m.archive_err_exists_action() } : told);
    }
  };
  const undo = (snapshotId: string) => tried(async () => {
    await snapshots.restoreSnapshot({ workspaceId: here(), snapshotId, paths: asked.folder ? [asked.folder] : [] });
    tellHistory();
    endArchive();
    toast.success(m.archive_undone());
  });
  const cancel = () => (step.at === "asking" || step.at === "done" ? endArchive() : control.current?.abort());
  const title = asked.folder ? m.archive_import_into({ folder: asked.folder }) : m.archive_import();
  return (
    <Dialog open onClose={() => { control.current?.abort(); endArchive(); }} title={title} {...(step.at === "asking" ? { about: m.archive_import_about() } : {})}>
      <DialogBody className="flex flex-col gap-4">
        {step.at === "done" ? <Done answer={step.answer} /> : (
          <>
            {fault && <FaultLine fault={fault} />}
            {file ? <Chosen file={file} {...(step.at === "asking" ? { onOther: () => setFile(null) } : {})} /> : <Choose onFile={setFile} />}
            {step.at === "asking" && file && (
              <>
                <div className="flex flex-col items-start gap-1.5">
                  <span className="label">{m.archive_mode()}</span>
                  <Segmented label={m.archive_mode()} value={mode} onChange={setMode} options={[{ value: "refuse", label: m.archive_mode_refuse() }, { value: "keep", label: m.archive_mode_keep() }, { value: "replace", label: m.archive_mode_replace() }]} />
                  <p className="text-xs text-fg-3">{{ replace: m.archive_mode_replace_hint(), keep: m.archive_mode_keep_hint(), refuse: m.archive_mode_refuse_hint() }[mode]}</p>
                </div>
                <label className="flex min-h-6 items-center gap-2 text-sm text-fg max-tab:min-h-10"><input type="checkbox" checked={strip} onChange={(event) => setStrip(event.target.checked)} className="size-4 accent-(--accent)" />{m.archive_strip()}</label>
              </>
            )}
            {step.at === "sending" && file && <Progress share={file.size === 0 ? 1 : step.sent / file.size} label={m.archive_sending()} aside={m.archive_sent({ done: bytes(step.sent), all: bytes(file.size) })} />}
            {step.at === "unpacking" && <Progress share={1} label={m.archive_unpacking()} />}
          </>
        )}
      </DialogBody>
      <DialogFoot>
        {step.at === "done" ? (
          <>
            {step.answer.snapshotId !== "" && step.answer.writtenFiles > 0 && <Button onClick={() => void undo(step.answer.snapshotId)}>{m.undo()}</Button>}
            <Button tone="primary" autoFocus onClick={endArchive}>{m.done()}</Button>
          </>
        ) : (
          <>
            <Button onClick={cancel}>{m.cancel()}</Button>
            <Button tone="primary" disabled={!file} busy={step.at !== "asking"} onClick={() => void start()}>{m.archive_start()}</Button>
          </>
        )}
      </DialogFoot>
    </Dialog>
  );
}

function Choose({ onFile }: { onFile: (file: File) => void }) {
  const picker = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [wrong, setWrong] = useState("");
  const take = (file: File | undefined) => {
    if (!file) return;
    if (isArchive(file.name)) onFile(file);
    else setWrong(m.archive_not_one({ name: file.name }));
  };
  const enter = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    setOver(true);
  };
  return (
    <div
      onDragEnter={enter}
      onDragOver={enter}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer.files[0]);
      }}
      className={cx("flex flex-col items-center gap-2 rounded-card border border-dashed px-4 py-7 text-center", over ? "border-signal bg-accent-soft" : "border-line-strong")}
    >
      <Button icon={Upload} autoFocus onClick={() => picker.current?.click()}>{m.archive_choose()}</Button>
      <p className="text-xs text-fg-3 phone-hidden">{m.archive_choose_hint()}</p>
      <p role="status" className="text-xs text-err empty:hidden">{wrong}</p>
      <input ref={picker} type="file" hidden accept=".zip,.tar,.gz,.tgz" aria-label={m.archive_file()} onChange={({ target }) => take(target.files?.[0])} />
    </div>
  );
}

const Chosen = ({ file, onOther }: { file: File; onOther?: () => void }) => (
  <div className="flex items-center gap-3 rounded-ctl border border-line-2 bg-raised px-3 py-2 text-sm">
    <FileArchive size={18} strokeWidth={1.6} aria-hidden className="shrink-0 text-fg-3" />
    <span className="min-w-0 flex-1"><span className="block truncate text-fg">{file.name}</span><span className="nums text-xs text-fg-3">{bytes(file.size)}</span></span>
    {onOther && <Button small tone="quiet" onClick={onOther}>{m.archive_other_file()}</Button>}
  </div>
);

const Done = ({ answer }: { answer: ImportArchiveResponse }) => (
  <div role="status" className="flex flex-col gap-1 text-sm">
    <p className="text-base font-medium text-fg">{m.archive_done({ count: answer.writtenFiles, shown: number(answer.writtenFiles) })}</p>
    <p>{m.archive_done_bytes({ size: bytes(answer.writtenBytes) })} {answer.keptFiles > 0 && m.archive_done_kept({ count: answer.keptFiles, shown: number(answer.keptFiles) })}</p>
    {answer.snapshotId !== "" && answer.writtenFiles > 0 && <p className="text-fg-3">{m.archive_done_undo()}</p>}
  </div>
);
