// Numbers, sizes, times and dates in the person's language.
import { m } from "../paraglide/messages";

const tag = () => m.locale_tag();
/** The language of shortened numbers: Britain's "135m" would be read as milli, so English has "135M". */
const short = () => (tag() === "en-GB" ? "en-US" : tag());

export const number = (value: number | bigint, digits = 0) => new Intl.NumberFormat(tag(), { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
/** Shortened from ten thousand on, such as "12,3 Tsd.". */
export const compact = (value: number) => (value < 10_000 ? number(Math.round(value)) : new Intl.NumberFormat(short(), { notation: "compact", maximumFractionDigits: 1 }).format(value));
export const percent = (share: number) => new Intl.NumberFormat(tag(), { style: "percent", maximumFractionDigits: 0 }).format(share);
export const dateTime = (ms: number) => new Intl.DateTimeFormat(tag(), { dateStyle: "medium", timeStyle: "short" }).format(ms);
export const date = (ms: number) => new Intl.DateTimeFormat(tag(), { dateStyle: "medium" }).format(ms);
/** The name of this month. */
export const thisMonth = () => new Intl.DateTimeFormat(tag(), { month: "long" }).format(new Date());
/** This moment. */
export const nowText = () => dateTime(Date.now());
export const clock = (ms: number) => new Intl.DateTimeFormat(tag(), { hour: "2-digit", minute: "2-digit" }).format(ms);

/** Bytes with a binary unit, such as "611 KiB". */
export function bytes(value: number | bigint): string {
  let rest = Number(value);
  let unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${number(rest, unit === 0 || rest >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** A span of time, such as "180 ms", "6,1 s" or "9 h 42 min". */
export function span(ms: number): string {
  if (ms < 1000) return `${number(Math.round(ms))} ms`;
  if (ms < 60_000) return `${number(ms / 1000, ms < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${number(Math.floor((ms % 60_000) / 1000))} s`;
  return `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** How long ago, such as "vor 6 Minuten". */
export function ago(ms: number, now = Date.now()): string {
  const seconds = Math.round((ms - now) / 1000);
  const relative = new Intl.RelativeTimeFormat(tag(), { numeric: "auto", style: "short" });
  if (Math.abs(seconds) < 60) return m.just_now();
  if (Math.abs(seconds) < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (Math.abs(seconds) < 86_400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

/** Parameters of a model, such as "1,54 Mrd." or "1.54B". */
export const parameters = (value: bigint) => (value === 0n ? "–" : new Intl.NumberFormat(short(), { notation: "compact", maximumSignificantDigits: 3 }).format(value));
