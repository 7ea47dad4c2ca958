// What stands above the editor: who has locked the file and until when, and that somebody changed it meanwhile.
import { FileDiff, Lock as LockIcon } from "lucide-react";
import { useState, type ReactNode } from "react";
import { locks as client } from "../../api/workspace";
import type { Lock } from "../../gen/devstudio/sandbox/v1/lock_pb";
import { m } from "../../paraglide/messages";
import { Button } from "../../ui/button";
import { cx } from "../../ui/cx";
import { useSecondsUntil } from "../../ui/seconds";
import { tried } from "../../ui/tried";
import { compare } from "./files";
import { countdown, endOf, holderName } from "./locks";

function Bar({ icon: Icon, tone, children }: { icon: typeof LockIcon; tone: "warn" | "info"; children: ReactNode }) {
  return (
    <div role="status" className={cx("flex min-h-9 shrink-0 flex-wrap items-center gap-x-2.5 gap-y-1 border-b border-line px-4 py-1 text-sm text-fg", tone === "warn" ? "bg-warn-soft" : "bg-accent-soft")}>
      <Icon size={15} strokeWidth={1.7} aria-hidden className={cx("shrink-0", tone === "warn" ? "text-warn" : "text-accent-text")} />
      {children}
    </div>
  );
}

/** The lock that keeps the person from writing, with the way to ask for its end. */
export function LockBanner({ lock, userId }: { lock: Lock; userId: string }) {
  const [asking, setAsking] = useState(false);
  const seconds = useSecondsUntil(lock.expiresAt ? endOf(lock) : 0);
  const ask = async () => {
    setAsking(true);
    await tried(() => client.requestUnlock({ lockId: lock.lockId, message: m.lock_request_text() }));
    setAsking(false);
  };
  return (
    <Bar icon={LockIcon} tone="warn">
      <p className="min-w-0 flex-1">
        <strong className="font-semibold text-warn">{m.lock_by({ name: holderName(lock, userId) })}</strong>
        {lock.holder?.taskId && <span className="text-fg-2"> · {m.lock_task({ task: lock.holder.taskId.slice(0, 8) })}</span>}
        <span className="nums text-fg-2"> · {lock.expiresAt ? m.lock_ends({ time: countdown(seconds) }) : m.lock_endless()}</span>
        {lock.unlockRequest && <span className="text-fg-2"> · {m.lock_requested()}</span>}
      </p>
      {!lock.unlockRequest && <Button small busy={asking} onClick={() => void ask()}>{m.lock_request()}</Button>}
    </Bar>
  );
}

/** The stored file is another than what is edited here. */
export function RemoteBanner({ path, gone }: { path: string; gone: boolean }) {
  return (
    <Bar icon={FileDiff} tone="info">
      <p className="min-w-0 flex-1">{gone ? m.remote_gone() : m.remote_changed()}</p>
      <Button small onClick={() => void compare(path)}>{gone ? m.remote_decide() : m.remote_compare()}</Button>
    </Bar>
  );
}
