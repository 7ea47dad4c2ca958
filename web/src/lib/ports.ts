// Ports that programs of a workspace opened: where they are served, and how a tab of the browser gets in.
import { useQuery } from "@tanstack/react-query";
import { queryClient } from "../api/query";
import { ports } from "../api/terminals";
import { ticketFor } from "../api/tickets";

/** Where no admin said under which host previews are served. */
export class NoPreviewHost extends Error {}
/** The browser did not open a tab. */
export class TabBlocked extends Error {}

const query = {
  queryKey: ["version"],
  queryFn: async (): Promise<string | null> => {
    const answer = await fetch("/version", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`/version answered ${answer.status}`);
    return ((await answer.json()) as { previewHost?: string | null }).previewHost || null;
  },
  staleTime: 60_000,
};

/** The host under which previews are served; null where there is none, undefined while it is asked for. */
export const usePreviewHost = () => useQuery(query).data;

/** The origin that serves a preview. */
export const originOf = (previewId: string, host: string, protocol: string = location.protocol): string => `${protocol}//${previewId}.${host}`;

/** The origin under which a port is served from now on. */
export async function previewOf(workspaceId: string, port: number): Promise<{ previewId: string; origin: string }> {
  const host = await queryClient.fetchQuery(query);
  if (!host) throw new NoPreviewHost();
  const { previewId } = await ports.openPort({ workspaceId, port });
  return { previewId, origin: originOf(previewId, host) };
}

/** Opens a port in a new tab. To be called in a click: browsers open tabs only there. */
export async function openPreview(workspaceId: string, port: number): Promise<void> {
  const tab = window.open("", "_blank");
  if (!tab) throw new TabBlocked();
  tab.opener = null;
  try {
    const { previewId, origin } = await previewOf(workspaceId, port);
    const ticket = await ticketFor(`/preview/${previewId}`, origin);
    tab.location.replace(`${origin}/.devstudio/enter?ticket=${encodeURIComponent(ticket)}`);
  } catch (cause) {
    tab.close();
    throw cause;
  }
}
