// Asks before an address is opened that a program hid behind a text.
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { Dialog, DialogBody, DialogFoot } from "../../ui/dialog";
import { linkOf } from "./bytes";

/** Shows where a link leads whose text a program chose. */
export default function LinkDialog({ address, onClose, onOpen }: { address: string; onClose: () => void; onOpen: (address: string) => void }) {
  if (!linkOf(address)) return null;
  return (
    <Dialog open onClose={onClose} title={m.terminal_link_title()} about={m.terminal_link_about()}>
      <DialogBody><p className="font-code max-h-40 overflow-y-auto text-code break-all text-fg">{address}</p></DialogBody>
      <DialogFoot>
        <Button onClick={onClose}>{m.cancel()}</Button>
        <Button tone="primary" onClick={() => { onOpen(address); onClose(); }}>{m.terminal_link_open()}</Button>
      </DialogFoot>
    </Dialog>
  );
}
