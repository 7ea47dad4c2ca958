// Usage as CSV: one row per person, model and day.
import type { UsageSum } from "../../gen/devstudio/billing/v1/billing_pb";

/** The sums as CSV with a head; cells that a spreadsheet would calculate are quoted as text. */
export function csvOf(users: UsageSum[], models: UsageSum[], days: UsageSum[], names: Map<string, string>): string {
  const rows = [["by", "id", "name", "requests", "prompt_tokens", "completion_tokens", "cached_tokens", "total_ms"]];
  const add = (by: string, sums: UsageSum[]) => {
    for (const s of sums) rows.push([by, s.group, names.get(s.group) ?? s.group, ...[s.requests, s.promptTokens, s.completionTokens, s.cachedTokens, s.totalMs].map(String)]);
  };
  add("user", users);
  add("model", models);
  add("day", days);
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
