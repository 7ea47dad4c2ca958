// A file as it was in a snapshot, beside the file as it is; what changed since is kept or taken back, place by place.
import { useQuery } from "@connectrpc/connect-query";
import { useRef } from "react";
import { explain, reasonOf } from "../../api/errors";
import { WorkspaceService, type ReadFileResponse } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { here } from "../../lib/place";
import { useWorkbench } from "../../lib/workbench";
import { m } from "../../paraglide/messages";
import { FaultLine } from "../../ui/fault";
import { Waiting } from "../../ui/tag";
import Diff, { Sides } from "./diff";
import { isUnsaved, offerText, storeText, useFiles } from "./files";
import { HunkDiff } from "./hunk-diff";
import { tell } from "./snapshot-actions";

/** Reads both; a file that is not there on one side is empty there. Leaves where the person has to decide in the editor. */
export function FileDiffView({ path, snapshotId, onLeave }: { path: string; snapshotId: string; onLeave: () => void }) {
  const then = useQuery(WorkspaceService.method.readFile, { workspaceId: here(), path, snapshotId }, { staleTime: Infinity });
  // What is now is read once each time: what is decided about stays what is shown, and a write over another version is refused.
  const now = useQuery(WorkspaceService.method.readFile, { workspaceId: here(), path }, { staleTime: Infinity, gcTime: 0 });
  const fault = [then.error, now.error].find((cause) => cause && reasonOf(cause) !== "NOT_FOUND");
  const binary = [then.data, now.data].some((file) => file?.content.case === "data");
  if (!fault && !binary && then.data && now.data) return <Resolvable path={path} then={textOf(then.data)} now={now.data} onLeave={onLeave} />;
  return (
    <>
      <Sides left={m.then_version()} right={m.now_version()} />
      <div className="flex h-[52vh] min-h-40 flex-col">
        {fault ? <div className="p-3"><FaultLine fault={explain(fault)} /></div>
        : then.isPending || now.isPending ? <Waiting rows={8} height={20} label={m.loading()} />
        : binary ? <p className="flex flex-1 items-center justify-center text-sm">{m.diff_binary()}</p>
        : <Diff path={path} before={textOf(then.data)} after={textOf(now.data)} label={m.conflict_compare({ left: m.then_version(), right: m.now_version() })} />}
      </div>
    </>
  );
}

function Resolvable({ path, then, now, onLeave }: { path: string; then: string; now: ReadFileResponse; onLeave: () => void }) {
  const drafts = useWorkbench((w) => w.drafts);
  const dirty = useFiles((s) => isUnsaved(path, s.files, drafts));
  const stored = useRef({ text: textOf(now), version: now.version });
  const resolve = async (text: string) => {
    const { text: base, version } = stored.current;
    if (text === base) return;
    try {
      const written = await storeText(path, base, text, version);
      stored.current = { text, version: written.version };
      tell();
    } catch (cause) {
      if (!["VERSION_CONFLICT", "NOT_FOUND"].includes(reasonOf(cause))) throw cause;
      onLeave();
      await offerText(path, base, text, version);
    }
  };
  return <HunkDiff path={path} original={then} proposed={textOf(now)} left={m.then_version()} right={m.now_version()} undecided="proposed" note={dirty ? m.hunk_dirty() : undefined} onResolve={resolve} />;
}

const textOf = (file: ReadFileResponse | undefined) => (file?.content.case === "text" ? file.content.value : "");
