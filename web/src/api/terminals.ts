// The clients of terminals and ports.
import { createClient } from "@connectrpc/connect";
import { PortService, TerminalService } from "../gen/devstudio/sandbox/v1/terminal_pb";
import { transport } from "./transport";

export const terminals = createClient(TerminalService, transport);
export const ports = createClient(PortService, transport);
