// The person's session: the access token in memory, refreshed by one tab for all before it ends.
import { create as message } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { create } from "zustand";
import { AuthService, Role, UserSchema, type User } from "../gen/devstudio/auth/v1/auth_pb";

/** Who is signed in, and with which token. */
export interface Session {
  status: "starting" | "out" | "in" | "unreachable";
  user: User | null;
  accessToken: string;
  expiresAt: number;
  /** Why the session ended, when the server ended it. */
  endedBy: unknown;
}

const EARLY_MS = 60_000;
const nothing: Session = { status: "out", user: null, accessToken: "", expiresAt: 0, endedBy: null };

export const useSession = create<Session>(() => ({ ...nothing, status: "starting" }));

const client = createClient(
  AuthService,
  createGrpcWebTransport({ baseUrl: location.origin, useBinaryFormat: true, fetch: (input, init) => fetch(input, { ...init, credentials: "same-origin" }) }),
);

interface Shared { kind: "in" | "out"; accessToken: string; expiresAt: number; user: { userId: string; email: string; displayName: string; role: Role } | null }
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("devstudio.session");
let timer: ReturnType<typeof setTimeout> | undefined;

/** Begins the session of this tab: takes up the cookie's session where there is one. */
export async function startSession(): Promise<void> {
  if (channel) channel.onmessage = (event: MessageEvent<Shared>) => takeOver(event.data);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && useSession.getState().status === "in" && endsSoon()) void refreshSession();
  });
  await refreshSession();
}

/** Gets a new access token, once for all tabs. Resolves to false when the person has to sign in. */
export async function refreshSession(): Promise<boolean> {
  const before = useSession.getState().accessToken;
  return alone(async () => {
    const now = useSession.getState();
    if (now.accessToken !== before && !endsSoon()) return true;
    try {
      const answer = await client.refresh({});
      if (!answer.user || !answer.expiresAt) throw new ConnectError("empty answer", Code.Internal);
      enter(answer.accessToken, timestampMs(answer.expiresAt), answer.user, true);
      return true;
    } catch (cause) {
      const code = ConnectError.from(cause).code;
      if (code === Code.Unauthenticated || code === Code.PermissionDenied) leave(false, cause);
      else if (now.status === "starting" || now.expiresAt < Date.now()) useSession.setState({ status: "unreachable" });
      else timer = setTimeout(() => void refreshSession(), 5_000);
      return false;
    }
  });
}

/** Signs a person in. */
export async function signIn(email: string, password: string): Promise<void> {
  const answer = await client.login({ email, password });
  if (!answer.user || !answer.expiresAt) throw new ConnectError("empty answer", Code.Internal);
  enter(answer.accessToken, timestampMs(answer.expiresAt), answer.user, true);
}

/** Signs the person out, in every tab. */
export async function signOut(): Promise<void> {
  try {
    await client.logout({}, { timeoutMs: 5_000 });
  } finally {
    leave(true);
  }
}

/** Shows the name that the person has now. */
export function setSessionUser(user: User): void {
  useSession.setState({ user });
}

function enter(accessToken: string, expiresAt: number, user: User, tell: boolean): void {
  useSession.setState({ status: "in", accessToken, expiresAt, user, endedBy: null });
  clearTimeout(timer);
  timer = setTimeout(() => void refreshSession(), Math.max(5_000, expiresAt - Date.now() - EARLY_MS));
  const { userId, email, displayName, role } = user;
  if (tell) channel?.postMessage({ kind: "in", accessToken, expiresAt, user: { userId, email, displayName, role } } satisfies Shared);
}

function leave(tell: boolean, cause: unknown = null): void {
  clearTimeout(timer);
  // The first cause counts: whoever asks again after the end only hears that there is no session.
  useSession.setState(({ status, endedBy }) => ({ ...nothing, endedBy: status === "in" ? cause : endedBy }));
  if (tell) channel?.postMessage({ kind: "out", accessToken: "", expiresAt: 0, user: null } satisfies Shared);
}

function takeOver(shared: Shared): void {
  if (shared.kind === "out" || !shared.user) return leave(false);
  const mine = useSession.getState().user;
  if (mine && mine.userId !== shared.user.userId) return location.reload();
  enter(shared.accessToken, shared.expiresAt, message(UserSchema, { ...mine, ...shared.user }), false);
}

function endsSoon(): boolean {
  return useSession.getState().expiresAt - Date.now() < EARLY_MS;
}

function alone<T>(work: () => Promise<T>): Promise<T> {
  return navigator.locks ? navigator.locks.request("devstudio.refresh", work) : work();
}
