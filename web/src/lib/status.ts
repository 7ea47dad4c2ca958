// What tabs tell the status bar.
import { create } from "zustand";

interface Status {
  cursor: { line: number; column: number } | null;
  language: string;
  problems: { errors: number; warnings: number };
  generating: { model: string; tokensPerSecond: number } | null;
  object: string;
}
export const useStatus = create<Status>(() => ({ cursor: null, language: "", problems: { errors: 0, warnings: 0 }, generating: null, object: "" }));
