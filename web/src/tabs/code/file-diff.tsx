// A file as it was in a snapshot, beside the file as it is.
import { useQuery } from "@connectrpc/connect-query";
import { explain, reasonOf } from "../../api/errors";
import { WorkspaceService, type ReadFileResponse } from "../../gen/devstudio/sandbox/v1/workspace_pb";
import { here } from "../../lib/place";
import { m } from "../../paraglide/messages";
import { FaultLine } from "../../ui/fault";
import { Waiting } from "../../ui/tag";
import Diff, { Sides } from "./diff";

/** Reads both; a file that is not there on one side is empty there. */
export function FileDiffView({ path, snapshotId }: { path: string; snapshotId: string }) {
  const then = useQuery(WorkspaceService.method.readFile, { workspaceId: here(), path, snapshotId }, { staleTime: Infinity });
  const now = useQuery(WorkspaceService.method.readFile, { workspaceId: here(), path }, { staleTime: 0 });
  const fault = [then.error, now.error].find((cause) => cause && reasonOf(cause) !== "NOT_FOUND");
  const binary = [then.data, now.data].some((file) => file?.content.case === "data");
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

const textOf = (file: ReadFileResponse | undefined) => (file?.content.case === "text" ? file.content.value : "");
