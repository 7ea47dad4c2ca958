// The headings under which commands stand.
import type { Command } from "../lib/commands";
import { m } from "../paraglide/messages";

export const groupNames: Record<Command["group"], () => string> = { code: m.tab_code, chat: m.tab_chat, run: m.tab_run, terminal: m.terminal_tab, logs: m.tab_logs, go: m.group_go, settings: m.group_settings };
