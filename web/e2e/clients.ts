// The contract's clients outside of a browser, as another program or an agent has them; for the server and the double.
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { AgentService } from "../src/gen/devstudio/agent/v1/agent_pb.ts";
import { AuthService } from "../src/gen/devstudio/auth/v1/auth_pb.ts";
import { ArchiveService } from "../src/gen/devstudio/sandbox/v1/archive_pb.ts";
import { LockService } from "../src/gen/devstudio/sandbox/v1/lock_pb.ts";
import { SnapshotService } from "../src/gen/devstudio/sandbox/v1/snapshot_pb.ts";
import { TerminalService } from "../src/gen/devstudio/sandbox/v1/terminal_pb.ts";
import { WorkspaceService } from "../src/gen/devstudio/sandbox/v1/workspace_pb.ts";

/** Signs in and gives the clients of workspaces. */
export async function clientsOf(baseUrl: string, email: string, password: string) {
  const { accessToken } = await createClient(AuthService, createGrpcWebTransport({ baseUrl })).login({ email, password });
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${accessToken}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl, interceptors: [authorize] });
  return { accessToken, agents: createClient(AgentService, transport), archives: createClient(ArchiveService, transport), terminals: createClient(TerminalService, transport), files: createClient(WorkspaceService, transport), locks: createClient(LockService, transport), snapshots: createClient(SnapshotService, transport) };
}
