// The shell around all tabs, with the router, the server data and the one stream; it starts when a person is signed in.
import { QueryClientProvider } from "@tanstack/react-query";
import { TransportProvider } from "@connectrpc/connect-query";
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect, RouterProvider } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { queryClient } from "./api/query";
import { useSession } from "./api/session";
import { closeStream, openStream } from "./api/stream";
import { transport } from "./api/transport";
import { Role } from "./gen/devstudio/auth/v1/auth_pb";
import { loadChat } from "./lib/chat";
import { setRouter } from "./lib/nav";
import { Frame, NotFound, TabFault, TabWaiting } from "./shell/frame";
import { account, setup, tabs } from "./tabs";

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });
const adminOnly = () => {
  if (useSession.getState().user?.role !== Role.ADMIN) throw redirect({ to: "/code" });
};
const routes = [
  createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/code", replace: true }); } }),
  createRoute({ getParentRoute: () => root, path: "/llm", beforeLoad: () => { throw redirect({ to: "/admin/models", replace: true }); } }),
  createRoute({ getParentRoute: () => root, path: account.path, component: lazyRouteComponent(account.load) }),
  createRoute({ getParentRoute: () => root, path: setup.path, validateSearch: (search: Record<string, unknown>) => search, component: lazyRouteComponent(setup.load) }),
  ...tabs.map((tab) =>
    createRoute({
      getParentRoute: () => root,
      path: tab.path,
      validateSearch: (search: Record<string, unknown>) => search,
      component: lazyRouteComponent(tab.load),
      ...(tab.admin ? { beforeLoad: adminOnly } : {}),
    }),
  ),
];
const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: "intent",
  defaultPendingComponent: TabWaiting,
  defaultPendingMs: 150,
  defaultErrorComponent: TabFault,
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const params = new URLSearchParams(Object.entries(search).filter(([, v]) => v !== undefined && v !== "").map(([k, v]) => [k, String(v)]));
    return params.size > 0 ? `?${params}` : "";
  },
});
setRouter(router);

export default function Shell() {
  const userId = useSession((s) => s.user?.userId ?? "");
  const [ready, setReady] = useState("");
  useEffect(() => {
    const idle = setTimeout(() => requestIdleCallback?.(() => { for (const tab of tabs) void tab.warm?.().catch(() => undefined); }), 4_000);
    return () => clearTimeout(idle);
  }, []);
  useEffect(() => {
    openStream();
    return () => { if (useSession.getState().status !== "in") { closeStream(); queryClient.clear(); } };
  }, []);
  useEffect(() => {
    if (loadedFor !== userId) {
      loadedFor = userId;
      queryClient.clear();
      void loadChat(userId).then(() => setReady(userId));
    } else setReady(userId);
  }, [userId]);
  if (ready !== userId) return null;
  return (
    <TransportProvider transport={transport}>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </TransportProvider>
  );
}

let loadedFor = "";
