// The dialog behind "?": every key of this tab and of the shell.
import { useCommandList, type Command } from "../lib/commands";
import { m } from "../paraglide/messages";
import { Dialog, DialogBody } from "../ui/dialog";
import { Keys } from "../ui/keys";
import { groupNames } from "./groups";

export default function Shortcuts({ onClose }: { onClose: () => void }) {
  const lists = useCommandList((s) => s.lists);
  const withKeys = Object.values(lists).flat().filter((c) => c.keys);
  return (
    <Dialog open onClose={onClose} title={m.shortcuts()} wide>
      <DialogBody className="grid gap-x-10 gap-y-5 tab:grid-cols-2">
        {(Object.keys(groupNames) as Command["group"][]).map((group) => {
          const list = withKeys.filter((c) => c.group === group);
          return list.length > 0 && (
            <section key={group}>
              <h3 className="label mb-1">{groupNames[group]()}</h3>
              <dl>
                {list.map((c) => (
                  <div key={c.id} className="flex min-h-7 items-center justify-between gap-4 border-b border-line text-sm text-fg"><dt>{c.title}</dt><dd><Keys keys={c.keys ?? ""} /></dd></div>
                ))}
              </dl>
            </section>
          );
        })}
      </DialogBody>
    </Dialog>
  );
}
