// The clients of terminals and ports, and the tickets with which a browser gets in there.
import { createClient } from "@connectrpc/connect";
import { AuthService } from "../gen/devstudio/auth/v1/auth_pb";
import { PortService, TerminalService } from "../gen/devstudio/sandbox/v1/terminal_pb";
import { transport } from "./transport";

export const terminals = createClient(TerminalService, transport);
export const ports = createClient(PortService, transport);
const auth = createClient(AuthService, transport);

/** A ticket that opens one path once, under one origin. */
export async function ticketFor(path: string, origin: string): Promise<string> {
  return (await auth.createTicket({ path, origin }, { timeoutMs: 10_000 })).ticket;
}
