// Keeps stores in this browser without writing on every change: at most four times a second, and when the page goes.
import type { PersistStorage, StorageValue } from "zustand/middleware";

const waiting = new Map<string, unknown>();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Writes what waits. */
export function flushKept(): void {
  clearTimeout(timer);
  timer = undefined;
  for (const [name, value] of waiting) {
    try {
      localStorage.setItem(name, JSON.stringify(value));
    } catch {
      // The browser's storage is full or off: the page goes on without it.
    }
  }
  waiting.clear();
}
if (typeof addEventListener === "function") addEventListener("pagehide", flushKept);

/** Storage for zustand's persist. */
export function kept<S>(): PersistStorage<S> {
  return {
    getItem: (name) => {
      const stored = localStorage.getItem(name);
      try {
        return stored === null ? null : (JSON.parse(stored) as StorageValue<S>);
      } catch {
        return null;
      }
    },
    setItem: (name, value) => {
      waiting.set(name, value);
      timer ??= setTimeout(flushKept, 250);
    },
    removeItem: (name) => localStorage.removeItem(name),
  };
}

/** An id for things of this browser. */
export const localId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
