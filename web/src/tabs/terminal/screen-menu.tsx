// The menu at the pointer in a terminal.
import { ClipboardPaste, Copy, Eraser, Plus, Search, TextSelect } from "lucide-react";
import { m } from "../../paraglide/messages";
import { copyText } from "../../ui/copy";
import { MenuAt, MenuItem, MenuLine } from "../../ui/menu";
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
    <MenuAt x={at.x} y={at.y} label={m.terminal_tab()} onClose={onClose} onFocusBack={() => screen.focus()}>
      <MenuItem icon={Copy} keys="Mod+Shift+C" disabled={!screen.hasSelection()} onSelect={() => copyText(screen.getSelection())}>{m.terminal_copy()}</MenuItem>
      <MenuItem icon={ClipboardPaste} keys="Mod+Shift+V" onSelect={() => void paste()}>{m.terminal_paste()}</MenuItem>
      <MenuItem icon={TextSelect} onSelect={() => screen.selectAll()}>{m.terminal_select_all()}</MenuItem>
      <MenuLine />
      <MenuItem icon={Search} keys="Mod+Shift+F" onSelect={after(onSearch)}>{m.terminal_search()}</MenuItem>
      <MenuItem icon={Eraser} keys="Mod+Shift+K" onSelect={() => screen.clear()}>{m.terminal_clear()}</MenuItem>
      <MenuLine />
      <MenuItem icon={Plus} keys="Mod+Alt+N" onSelect={onNew}>{m.terminal_new()}</MenuItem>
    </MenuAt>
  );
}
