// What goes between a screen and a program: replies, keys of the phone's row, titles, links.

const encoder = new TextEncoder();
export const bytesOf = (text: string): Uint8Array => encoder.encode(text);
/** Bytes of what xterm gives as one sign a byte. */
export const rawBytes = (text: string): Uint8Array => Uint8Array.from(text, (sign) => sign.charCodeAt(0) & 0xff);

// oxlint-disable no-control-regex
const reply = /^(?:\u001b\[[?>=]?[\d;]*\$?[cnRyt]|\u001b\[[IO]|\u001bP[^\u001b]*\u001b\\|\u001b\]\d+;[^\u0007\u001b]*(?:\u0007|\u001b\\))+$/;
/** True for what the screen answers to a program's question by itself. What was asked long ago must not be answered again. */
export const isReply = (text: string): boolean => reply.test(text);

/** A title as plain text of bounded length; programs choose it. */
export const titleOf = (text: string): string => {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, "").trim();
  return plain.length > 80 ? `${plain.slice(0, 79)}…` : plain;
};
// oxlint-enable no-control-regex

/** What a key means while the row's Ctrl or Alt is on. */
export function withHeld(text: string, ctrl: boolean, alt: boolean): string {
  let out = text;
  if (ctrl && text.length === 1) {
    const code = text.toUpperCase().charCodeAt(0);
    if (text === " ") out = "\u0000";
    else if (code >= 0x40 && code <= 0x5f) out = String.fromCharCode(code & 0x1f);
    else if (text === "?") out = "\u007f";
  }
  return alt ? `\u001b${out}` : out;
}

/** The bytes of an arrow key, in the mode that the program chose. */
export const arrow = (letter: "A" | "B" | "C" | "D", application: boolean): string => `\u001b${application ? "O" : "["}${letter}`;

/** An address that may be opened: only of the web. `port` where it is on the machine that the program runs on. */
export function linkOf(text: string): { href: string; port: number | null } | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const own = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"].includes(url.hostname);
  return { href: url.href, port: own ? Number(url.port || 80) : null };
}

/** How full the ring is. */
export function ringOf(total: number, keptFrom: number, ringBytes: number): { kept: number; share: number } {
  const kept = Math.max(0, Math.min(ringBytes, total - keptFrom));
  return { kept, share: ringBytes > 0 ? kept / ringBytes : 0 };
}
