// Spans of time that usage is shown for.
import { timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";

export type Period = "week" | "month" | "year";

/** When a period began; to the day, so that queries keep their key. */
export function periodStart(period: Period, now = new Date()): Date {
  if (period === "month") return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1));
  const days = period === "week" ? 6 : 364;
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() - days));
}
/** When a period ends: now. */
export const periodEnd = () => new Date();
export const timestampOf = (date: Date): Timestamp => timestampFromDate(date);
