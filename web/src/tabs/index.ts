// The registry of tabs: one folder and one entry each, loaded on the first visit.
import { Code2, MessageSquare, Play, ScrollText, ShieldCheck, SquareTerminal, type LucideIcon } from "lucide-react";
import type { ComponentType } from "react";
import { m } from "../paraglide/messages";

/** A place of the Studio with a path of its own. */
export interface Tab {
  id: string;
  path: string;
  home: string;
  label: () => string;
  icon: LucideIcon;
  keys: string;
  foot?: boolean;
  admin?: boolean;
  load: () => Promise<{ default: ComponentType }>;
  /** What is heavy in it, for fetching while the browser is idle. */
  warm?: () => Promise<unknown>;
}

export const tabs: Tab[] = [
  { id: "code", path: "code", home: "/code", label: m.tab_code, icon: Code2, keys: "Mod+1", load: () => import("./code/tab"), warm: () => import("../lib/warm").then(({ warmUp }) => warmUp("src/tabs/code/workspace.tsx")) },
  { id: "chat", path: "chat/{-$taskId}", home: "/chat", label: m.tab_chat, icon: MessageSquare, keys: "Mod+2", load: () => import("./chat/tab") },
  { id: "run", path: "run/{-$execId}", home: "/run", label: m.tab_run, icon: Play, keys: "Mod+3", load: () => import("./run/tab") },
  { id: "terminal", path: "terminal/{-$terminalId}", home: "/terminal", label: m.terminal_tab, icon: SquareTerminal, keys: "Mod+4", load: () => import("./terminal/tab") },
  { id: "logs", path: "logs", home: "/logs", label: m.tab_logs, icon: ScrollText, keys: "Mod+5", load: () => import("./logs/tab") },
  { id: "admin", path: "admin/{-$section}", home: "/admin/models", label: m.tab_admin, icon: ShieldCheck, keys: "Mod+6", foot: true, admin: true, load: () => import("./admin/tab") },
];

/** The account page; it opens from the person menu, not from the rail. */
export const account = { path: "account", load: () => import("./account/tab") };

/** Setting a workspace up; it opens from the workspace's menu and from an empty workspace. */
export const setup = { path: "setup", load: () => import("./setup/tab") };
