// The clients of workspaces; apart from the transport, since only tabs need them.
import { createClient } from "@connectrpc/connect";
import { ArchiveService } from "../gen/devstudio/sandbox/v1/archive_pb";
import { LockService } from "../gen/devstudio/sandbox/v1/lock_pb";
import { SnapshotService } from "../gen/devstudio/sandbox/v1/snapshot_pb";
import { WorkspaceService } from "../gen/devstudio/sandbox/v1/workspace_pb";
import { transport } from "./transport";

export const workspace = createClient(WorkspaceService, transport);
export const locks = createClient(LockService, transport);
export const archives = createClient(ArchiveService, transport);
export const snapshots = createClient(SnapshotService, transport);
