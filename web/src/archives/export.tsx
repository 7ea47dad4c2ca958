// Downloads a workspace, a folder or a snapshot as an archive, with how far it is and a cancel.
import { useEffect, useRef, useState } from "react";
import { explain, wasCancelled, type Fault } from "../api/errors";
import { archives } from "../api/workspace";
import { ArchiveFormat } from "../gen/devstudio/sandbox/v1/archive_pb";
import { endArchive, type Exporting } from "../lib/archives";
import { bytes, number } from "../lib/format";
import { here } from "../lib/place";
import { m } from "../paraglide/messages";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../ui/dialog";
import { saveBlob } from "../ui/download";
import { FaultLine } from "../ui/fault";
import { toast } from "../ui/toast";
import { Progress } from "./progress";

const formats = { zip: ArchiveFormat.ZIP, "tar.gz": ArchiveFormat.TAR_GZ };
interface Far { packed: number; total: number; size: number }

export default function ExportArchive({ asked }: { asked: Exporting }) {
  const [far, setFar] = useState<Far | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const [attempt, setAttempt] = useState(0);
  const cancel = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const control = new AbortController();
    void (async () => {
      const pieces: BlobPart[] = [];
      let name = `${asked.name}.${asked.format}`;
      let size = 0;
      try {
        for await (const piece of archives.exportArchive({ workspaceId: here(), path: asked.path, snapshotId: asked.snapshotId, format: formats[asked.format] }, { signal: control.signal })) {
          if (piece.fileName !== "") name = piece.fileName;
          pieces.push(piece.data as Uint8Array<ArrayBuffer>);
          size += piece.data.length;
          setFar({ packed: piece.packedFiles, total: piece.totalFiles, size });
        }
        if (control.signal.aborted) return;
        saveBlob(name, new Blob(pieces, { type: asked.format === "zip" ? "application/zip" : "application/gzip" }));
        toast.success(m.archive_saved({ name, size: bytes(size) }));
        endArchive();
      } catch (cause) {
        if (!control.signal.aborted && !wasCancelled(cause)) setFault(explain(cause));
      }
    })();
    return () => control.abort();
  }, [asked, attempt]);
  const again = () => {
    setFault(null);
    setFar(null);
    setAttempt(attempt + 1);
  };
  return (
    <Dialog open onClose={endArchive} title={m.archive_download_of({ name: asked.name })} onOpenAutoFocus={(event) => { event.preventDefault(); cancel.current?.focus(); }}>
      <DialogBody>
        {fault ? <FaultLine fault={fault}><Button small onClick={again}>{m.try_again()}</Button></FaultLine>
        : <Progress share={far && far.total > 0 ? far.packed / far.total : 0} label={far ? m.archive_downloading({ name: asked.format }) : m.archive_begin()} {...(far ? { aside: m.archive_packed({ done: number(far.packed), all: number(far.total), size: bytes(far.size) }) } : {})} />}
      </DialogBody>
      <DialogFoot><Button ref={cancel} onClick={endArchive}>{m.cancel()}</Button></DialogFoot>
    </Dialog>
  );
}
