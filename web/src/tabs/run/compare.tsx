// The outputs of two runs beside each other, the older one first.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { explain } from "../../api/errors";
import { SandboxService, type GetRunResponse } from "../../gen/devstudio/sandbox/v1/run_pb";
import { runEnd } from "../../lib/engines";
import { ago, bytes, number, span } from "../../lib/format";
import { binaryBytes } from "../../lib/runs";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { Dialog, DialogBody } from "../../ui/dialog";
import { FaultLine } from "../../ui/fault";
import { Tag, Waiting } from "../../ui/tag";
import { difference, sameBytes, type Row } from "./difference";

const MOST_ROWS = 3_000;

export default function Compare({ ids: [a, b], onClose }: { ids: [string, string]; onClose: () => void }) {
  const one = useQuery(SandboxService.method.getRun, { execId: a });
  const two = useQuery(SandboxService.method.getRun, { execId: b });
  const fault = one.error ?? two.error;
  return (
    <Dialog open wide="full" onClose={onClose} title={m.run_compare_title()}>
      <DialogBody className="flex flex-col">
        {fault ? <FaultLine fault={explain(fault)}><Button small onClick={() => { void one.refetch(); void two.refetch(); }}>{m.try_again()}</Button></FaultLine>
        : !one.data || !two.data ? <Waiting rows={8} height={20} label={m.loading()} />
        : <Both runs={inOrder(one.data, two.data)} />}
      </DialogBody>
    </Dialog>
  );
}

function Both({ runs: [before, after] }: { runs: [GetRunResponse, GetRunResponse] }) {
  const binary = [before, after].some(({ result }) => result && binaryBytes(result) > 0);
  const found = useMemo(() => (binary ? null : difference(outputOf(before), outputOf(after))), [binary, before, after]);
  const same = useMemo(() => (binary ? before.result !== undefined && after.result !== undefined && sameBytes(before.result, after.result) : found !== null && found.added + found.removed === 0), [binary, found, before, after]);
  const cut = [before, after].some(({ result }) => result?.truncated);
  const told = same ? m.run_compare_same() : binary ? m.run_compare_bytes() : !found ? m.run_compare_far() : m.run_compare_counts({ added: number(found.added), removed: number(found.removed) });
  return (
    <>
      <div className="mb-3 grid gap-2 tab:grid-cols-2"><Head of={before} sign="−" /><Head of={after} sign="+" /></div>
      <p role="status" className="mb-2 text-xs">{told}{cut && <span className="text-warn"> {m.output_truncated()}</span>}</p>
      {found && found.rows.length > 0 && (
        <div role="region" tabIndex={0} data-inset aria-label={m.output()} className="font-code min-h-24 overflow-auto rounded-ctl border border-line-2 bg-editor py-1.5 text-code">
          <div className="min-w-max">{found.rows.slice(0, MOST_ROWS).map((row, i) => <Line key={i} row={row} />)}</div>
          {found.rows.length > MOST_ROWS && <p className="px-3 py-1 font-sans text-xs text-warn">{m.run_compare_cut({ hidden: number(found.rows.length - MOST_ROWS) })}</p>}
        </div>
      )}
    </>
  );
}

function Head({ of: { run, result }, sign }: { of: GetRunResponse; sign: string }) {
  const end = runEnd(run?.status ?? 0, run?.exitCode ?? 0);
  const binary = result ? binaryBytes(result) : 0;
  return (
    <div className="min-w-0">
      <div className="flex min-w-0 items-center gap-2.5 rounded-ctl border border-line-2 bg-raised px-3 py-2">
        <span aria-hidden className={cx("font-code font-semibold", sign === "+" ? "text-add-fg" : "text-del-fg")}>{sign}</span>
        <Tag tone={end.tone}>{end.word}</Tag>
        <span className="font-code min-w-0 flex-1 truncate text-code text-fg" title={run?.title}>{run?.title}</span>
        <span className="nums shrink-0 text-xs text-fg-3">{[run?.status ? span(run.wallMs) : "", run?.startedAt ? ago(timestampMs(run.startedAt)) : ""].filter(Boolean).join(" · ")}</span>
      </div>
      {binary > 0 && <p className="px-3 pt-1 text-xs">{m.output_binary({ size: bytes(binary) })}</p>}
    </div>
  );
}

function Line({ row }: { row: Row }) {
  if (row.kind === "fold") return <p className="my-1 border-y border-line bg-panel px-3 font-sans text-xs text-fg-3">{m.run_compare_hidden({ count: number(row.count) })}</p>;
  const sign = row.kind === "added" ? "+" : row.kind === "removed" ? "−" : " ";
  const line = <><span aria-hidden className="mr-3 inline-block w-3 text-center select-none">{sign}</span>{row.text || " "}</>;
  const look = "block px-3 whitespace-pre no-underline";
  if (row.kind === "added") return <ins className={cx(look, "bg-add-bg text-add-fg")}>{line}</ins>;
  if (row.kind === "removed") return <del className={cx(look, "bg-del-bg text-del-fg")}>{line}</del>;
  return <span className={cx(look, "text-fg-2")}>{line}</span>;
}

const startOf = ({ run }: GetRunResponse) => (run?.startedAt ? timestampMs(run.startedAt) : 0);
const inOrder = (a: GetRunResponse, b: GetRunResponse): [GetRunResponse, GetRunResponse] => (startOf(a) <= startOf(b) ? [a, b] : [b, a]);
function outputOf({ result }: GetRunResponse): string {
  if (!result) return "";
  return result.stdout + (result.stdout === "" || result.stdout.endsWith("\n") ? "" : "\n") + result.stderr;
}
