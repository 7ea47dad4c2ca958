// The session: taken up from the cookie, refreshed, ended; the token stays in memory.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { beforeEach, expect, test, vi } from "vitest";
import { AuthService, Role, UserSchema } from "../gen/devstudio/auth/v1/auth_pb";

const server = vi.hoisted(() => ({ cookie: false, down: false, refreshes: 0, blocked: false }));
vi.mock("@connectrpc/connect-web", () => ({
  createGrpcWebTransport: () =>
    createRouterTransport(({ service }) => {
      const session = () => ({ accessToken: `t${server.refreshes}`, expiresAt: timestampFromMs(Date.now() + 900_000), user: create(UserSchema, { userId: "u1", email: "a@b.c", role: Role.DEV }) });
      service(AuthService, {
        login(request) {
          if (request.password !== "right") throw new ConnectError("wrong", Code.Unauthenticated);
          return session();
        },
        refresh() {
          server.refreshes += 1;
          if (server.down) throw new ConnectError("down", Code.Unavailable);
          if (server.blocked) throw new ConnectError("blocked", Code.PermissionDenied);
          if (!server.cookie) throw new ConnectError("none", Code.Unauthenticated);
          return session();
        },
        logout: () => ({}),
      });
    }),
}));
const { refreshSession, signIn, signOut, startSession, useSession } = await import("./session");

beforeEach(() => {
  Object.assign(server, { cookie: false, down: false, refreshes: 0, blocked: false });
  useSession.setState({ status: "starting", user: null, accessToken: "", expiresAt: 0, endedBy: null });
});

test("without a cookie the person signs in", async () => {
  await startSession();
  expect(useSession.getState().status).toBe("out");
  await signIn("a@b.c", "right");
  expect(useSession.getState()).toMatchObject({ status: "in", user: { email: "a@b.c" } });
});

test("with a cookie the session goes on", async () => {
  server.cookie = true;
  await startSession();
  expect(useSession.getState()).toMatchObject({ status: "in", accessToken: "t1" });
});

test("a wrong password changes nothing", async () => {
  useSession.setState({ status: "out" });
  await expect(signIn("a@b.c", "wrong")).rejects.toThrow();
  expect(useSession.getState().status).toBe("out");
});

test("a server that is down is not a sign-out", async () => {
  server.down = true;
  expect(await refreshSession()).toBe(false);
  expect(useSession.getState().status).toBe("unreachable");
});

test("a session that the server ends says why, until somebody signs in", async () => {
  await signIn("a@b.c", "right");
  server.blocked = true;
  expect(await refreshSession()).toBe(false);
  expect(useSession.getState()).toMatchObject({ status: "out", accessToken: "", endedBy: { rawMessage: "blocked" } });
  server.blocked = false;
  await refreshSession();
  expect(useSession.getState().endedBy).toMatchObject({ rawMessage: "blocked" });
  await signIn("a@b.c", "right");
  expect(useSession.getState().endedBy).toBeNull();
  await signOut();
  expect(useSession.getState().endedBy).toBeNull();
});

test("whoever never was signed in hears of no end", async () => {
  await startSession();
  expect(useSession.getState()).toMatchObject({ status: "out", endedBy: null });
});

test("signing out forgets the token, and nothing of it is stored", async () => {
  await signIn("a@b.c", "right");
  expect(JSON.stringify(localStorage)).not.toContain("t0");
  await signOut();
  expect(useSession.getState()).toMatchObject({ status: "out", accessToken: "", user: null });
});
