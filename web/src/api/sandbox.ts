// The client of engines; apart from the transport, since only tabs need it.
import { createClient } from "@connectrpc/connect";
import { SandboxService } from "../gen/devstudio/sandbox/v1/run_pb";
import { transport } from "./transport";

export const sandbox = createClient(SandboxService, transport);
