// The menu at the pointer in a terminal.
import { ClipboardPaste, Copy, Eraser, Plus, Search, TextSelect } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { m } from "../../paraglide/messages";
import { copyText } from "../../ui/copy";
import { MenuItem, MenuLine, menuBox } from "../../ui/menu";
import { toast } from "../../ui/toast";
import type { Session } from "./session";

export default function ScreenMenu({ session, at, onClose, onSearch, onNew }: { session: Session; at: { x: number; y: number }; onClose: () => void; onSearch: () => void; onNew: () => void }) {
  const { screen } = session;
  const after = (work: () => void) => () => setTimeout(work, 0);
  const paste = async () => {
    try {
      screen.paste(await navigator.clipboard.readText());
      screen.focus();
    } catch {
      toast.error(m.terminal_paste_refused());
    }
  };
  return (
    <DropdownMenu.Root open modal={false} onOpenChange={(open) => { if (!open) onClose(); }}>
      <DropdownMenu.Trigger asChild><span aria-hidden className="fixed size-0" style={{ left: at.x, top: at.y }} /></DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content align="start" sideOffset={2} collisionPadding={8} aria-label={m.terminal_tab()} className={menuBox} onCloseAutoFocus={(event) => { event.preventDefault(); screen.focus(); }}>
          <MenuItem icon={Copy} keys="Mod+Shift+C" disabled={!screen.hasSelection()} onSelect={() => copyText(screen.getSelection())}>{m.terminal_copy()}</MenuItem>
          <MenuItem icon={ClipboardPaste} keys="Mod+Shift+V" onSelect={() => void paste()}>{m.terminal_paste()}</MenuItem>
          <MenuItem icon={TextSelect} onSelect={() => screen.selectAll()}>{m.terminal_select_all()}</MenuItem>
          <MenuLine />
          <MenuItem icon={Search} keys="Mod+Shift+F" onSelect={after(onSearch)}>{m.terminal_search()}</MenuItem>
          <MenuItem icon={Eraser} keys="Mod+Shift+K" onSelect={() => screen.clear()}>{m.terminal_clear()}</MenuItem>
          <MenuLine />
          <MenuItem icon={Plus} keys="Mod+Alt+N" onSelect={onNew}>{m.terminal_new()}</MenuItem>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
