// How a browser gets into what carries no header: a ticket in the address, and a WebSocket at the page's own origin.
import { createClient } from "@connectrpc/connect";
import { AuthService } from "../gen/devstudio/auth/v1/auth_pb";
import { transport } from "./transport";

const auth = createClient(AuthService, transport);

/** A ticket that opens one path once, under one origin. */
export async function ticketFor(path: string, origin = location.origin): Promise<string> {
  return (await auth.createTicket({ path, origin }, { timeoutMs: 10_000 })).ticket;
}

/** A WebSocket at a path of the server. */
export const openSocket = (path: string): WebSocket => new WebSocket(location.origin.replace(/^http/, "ws") + path);
