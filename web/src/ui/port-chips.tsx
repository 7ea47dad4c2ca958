// Ports that programs opened: each opens in a tab of its own, under an origin of its own.
import { Copy, ExternalLink } from "lucide-react";
import { useState } from "react";
import { explain } from "../api/errors";
import { NoPreviewHost, openPreview, previewOf, TabBlocked, usePreviewHost } from "../lib/ports";
import { m } from "../paraglide/messages";
import { Button, IconButton } from "./button";
import { copyText } from "./copy";
import { Dialog, DialogBody, DialogFoot } from "./dialog";
import { Tip } from "./tip";
import { toast } from "./toast";

/** Opens a port in a new tab, and says why where that does not work. False where no admin set previews up. */
export async function showPort(workspaceId: string, port: number): Promise<boolean> {
  try {
    await openPreview(workspaceId, port);
  } catch (cause) {
    if (cause instanceof NoPreviewHost) return false;
    if (cause instanceof TabBlocked) toast.error(m.preview_blocked(), { description: m.preview_blocked_action() });
    else {
      const fault = explain(cause);
      toast.error(fault.title, { description: [fault.meaning, fault.action].filter(Boolean).join(" ") });
    }
  }
  return true;
}

/** A chip for each port; nothing where there is none. */
export function PortChips({ workspaceId, ports }: { workspaceId: string; ports: number[] }) {
  const host = usePreviewHost();
  const [missing, setMissing] = useState(false);
  const open = async (port: number) => { if (host === null || !(await showPort(workspaceId, port))) setMissing(true); };
  const copy = async (port: number) => {
    if (host === null) return setMissing(true);
    try {
      copyText(`${(await previewOf(workspaceId, port)).origin}/`);
    } catch (cause) {
      if (cause instanceof NoPreviewHost) setMissing(true);
      else toast.error(explain(cause).title);
    }
  };
  if (ports.length === 0) return null;
  return (
    <>
      <ul aria-label={m.preview_ports()} className="flex min-h-9 shrink-0 flex-wrap items-center gap-2 border-b border-line bg-panel px-4 py-1.5 max-tab:px-3">
        {ports.map((port) => (
          <li key={port} className="flex items-center rounded-ctl border border-line-2 bg-raised">
            <Tip text={m.preview_open_about({ port: String(port) })}>
              <Button small tone="quiet" icon={ExternalLink} onClick={() => void open(port)}>{m.preview_open({ port: String(port) })}</Button>
            </Tip>
            <IconButton label={m.preview_address_copy({ port: String(port) })} icon={Copy} size={14} onClick={() => void copy(port)} className="h-6 w-7 rounded-none border-l border-line max-tab:w-10" />
          </li>
        ))}
      </ul>
      <PreviewMissing open={missing} onClose={() => setMissing(false)} />
    </>
  );
}

/** What an admin has to do before ports can be opened. */
export function PreviewMissing({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title={m.preview_none_title()} about={m.preview_none_about()}>
      <DialogBody><p className="font-code rounded-ctl border border-line-2 bg-editor px-3 py-2 text-code break-all text-fg">DEVSTUDIO_PREVIEW_HOST=localhost:8080</p></DialogBody>
      <DialogFoot><Button onClick={onClose}>{m.close()}</Button></DialogFoot>
    </Dialog>
  );
}
