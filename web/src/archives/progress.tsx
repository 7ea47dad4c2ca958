// How far an import or a download is.
import { Meter } from "../ui/tag";

/** How far something is, in a bar and in words. */
export const Progress = ({ share, label, aside }: { share: number; label: string; aside?: string }) => (
  <div className="flex flex-col gap-2">
    <p className="flex justify-between gap-3 text-sm"><span role="status" className="text-fg">{label}</span>{aside && <span className="nums text-fg-3">{aside}</span>}</p>
    <Meter tone="signal" share={share} label={label} />
  </div>
);
