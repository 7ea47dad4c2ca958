// The filter of the log, as the address carries it and as the server takes it.
import { useSearch } from "@tanstack/react-router";
import { go } from "../../lib/nav";

export const levels = ["debug", "info", "warn", "error"] as const;
export const services = ["edge", "auth", "billing", "sandbox", "llm"] as const;
export type LevelName = (typeof levels)[number];

export interface Filter { level: LevelName; services: string[]; text: string; trace: string }

/** Reads the filter from the address. */
export function useFilter(): Filter {
  const search = useSearch({ strict: false }) as Partial<Record<"level" | "services" | "text" | "trace", string>>;
  return {
    level: levels.find((level) => level === search.level) ?? "info",
    services: (search.services ?? "").split(",").filter((s) => (services as readonly string[]).includes(s)),
    text: search.text ?? "",
    trace: search.trace ?? "",
  };
}

/** Writes the filter into the address. */
export function setFilter(filter: Filter): void {
  go("/logs", { level: filter.level === "info" ? undefined : filter.level, services: filter.services.join(","), text: filter.text, trace: filter.trace }, true);
}

/** The filter as params of logs.watch. */
export const paramsOf = (filter: Filter): Record<string, unknown> => ({ minLevel: filter.level, services: filter.services, text: filter.text, traceId: filter.trace });

/** What was typed: words, and a trace as "trace:7be2…". */
export function parseQuery(query: string): { text: string; trace: string } {
  const trace = /(?:^|\s)trace:([0-9a-f]+)/i.exec(query)?.[1] ?? "";
  return { text: query.replace(/(?:^|\s)trace:\S*/gi, " ").replace(/\s+/g, " ").trim(), trace: trace.toLowerCase() };
}
export const queryOf = (filter: Filter): string => [filter.text, filter.trace && `trace:${filter.trace}`].filter(Boolean).join(" ");
