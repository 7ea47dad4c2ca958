// What an output does not show of all that a program wrote, and why.
import type { RunExecResponse } from "../gen/devstudio/sandbox/v1/run_pb";
import { bytes, number } from "../lib/format";
import { binaryBytes } from "../lib/runs";
import { m } from "../paraglide/messages";

/** One line for each way in which an output is not whole. */
export function OutputNotes({ result, hidden }: { result: RunExecResponse | null; hidden: number }) {
  const binary = result ? binaryBytes(result) : 0;
  const notes = [result?.truncated && m.output_truncated(), hidden > 0 && m.output_hidden({ hidden: number(hidden) }), binary > 0 && m.output_binary({ size: bytes(binary) })];
  return notes.map((note) => note && <p key={note} className="border-b border-line bg-editor px-4 py-1.5 text-xs text-warn">{note}</p>);
}
