// Dialogs, and the confirmation that names what is destroyed.
import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import { useRef, useState, type ReactNode } from "react";
import { explain, type Fault } from "../api/errors";
import { m } from "../paraglide/messages";
import { Button } from "./button";
import { cx } from "./cx";
import { FaultLine } from "./fault";

interface DialogProps { open: boolean; onClose: () => void; title: string; about?: ReactNode; wide?: boolean | "full"; children?: ReactNode; onOpenAutoFocus?: (event: Event) => void }

/** A dialog with a title; on the phone it is a sheet from below. */
export function Dialog({ open, onClose, title, about, wide, children, onOpenAutoFocus }: DialogProps) {
  return (
    <Radix.Root open={open} onOpenChange={(now) => { if (!now) onClose(); }}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-scrim" />
        <Radix.Content
          {...(onOpenAutoFocus ? { onOpenAutoFocus } : {})}
          {...(about ? {} : { "aria-describedby": undefined })}
          className={cx(
            "enter fixed z-50 flex max-h-[90dvh] flex-col overflow-hidden bg-overlay text-fg-2 shadow-over focus:outline-none",
            "max-tab:inset-x-0 max-tab:bottom-0 max-tab:rounded-t-card",
            "tab:top-[12vh] tab:left-1/2 tab:max-h-[80dvh] tab:-translate-x-1/2 tab:rounded-card",
            wide === "full" ? "tab:w-[min(1200px,94vw)]" : wide ? "tab:w-[720px]" : "tab:w-[440px]",
          )}
        >
          <div className="flex items-start gap-3 px-5 pt-4 pb-3 max-tab:px-4">
            <div className="min-w-0 flex-1">
              <Radix.Title className="text-lg font-semibold break-words text-fg">{title}</Radix.Title>
              {about && <Radix.Description asChild><div className="mt-1 text-sm">{about}</div></Radix.Description>}
            </div>
            <Radix.Close aria-label={m.close()} className="-mr-2 inline-flex size-7 items-center justify-center rounded-ctl hover:bg-hover max-tab:-my-2 max-tab:size-10">
              <X size={16} strokeWidth={1.7} aria-hidden />
            </Radix.Close>
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** The part of a dialog that scrolls. */
export const DialogBody = ({ children, className }: { children: ReactNode; className?: string }) => <div className={cx("min-h-0 flex-1 overflow-y-auto px-5 pb-4 max-tab:px-4", className)}>{children}</div>;
/** The buttons of a dialog. */
export const DialogFoot = ({ children }: { children: ReactNode }) => <div className="flex flex-wrap items-center justify-end gap-2 border-t border-line px-5 py-3 max-tab:px-4">{children}</div>;

interface ConfirmProps { open: boolean; onClose: () => void; title: string; about: string; verb: string; onConfirm: () => Promise<unknown> }

/** Asks before something is destroyed; the focus starts on cancel. */
export function Confirm({ open, onClose, title, about, verb, onConfirm }: ConfirmProps) {
  const cancel = useRef<HTMLButtonElement>(null);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const confirm = async () => {
    setBusy(true);
    setFault(null);
    try {
      await onConfirm();
      onClose();
    } catch (cause) {
      setFault(explain(cause));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open={open} onClose={() => { setFault(null); onClose(); }} title={title} about={about} onOpenAutoFocus={(event) => { event.preventDefault(); cancel.current?.focus(); }}>
      {fault && <DialogBody><FaultLine fault={fault} /></DialogBody>}
      <DialogFoot>
        <Button ref={cancel} onClick={onClose}>{m.cancel()}</Button>
        <Button tone="danger" busy={busy} onClick={() => void confirm()}>{verb}</Button>
      </DialogFoot>
    </Dialog>
  );
}
