// How many lines came and went, such as "+2 −1".
import { number } from "../../lib/format";

export function LineCounts({ added, removed }: { added: number; removed: number }) {
  return (
    <>
      {added > 0 && <span className="text-add-fg">+{number(added)}</span>}
      {removed > 0 && <span className="text-del-fg"> −{number(removed)}</span>}
    </>
  );
}
