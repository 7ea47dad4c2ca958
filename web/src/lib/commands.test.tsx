// Commands come and go with the component that offers them, and their keys are told apart.
import { render } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { allCommands, listenForKeys, useCommands } from "./commands";

function Offer({ id, keys, run }: { id: string; keys: string; run: () => void }) {
  useCommands(id, [{ id, title: id, group: "code", keys, run }]);
  return null;
}

test("a component that goes takes its commands along", () => {
  const { unmount } = render(<Offer id="gone" keys="F5" run={() => undefined} />);
  expect(allCommands().map((c) => c.id)).toContain("gone");
  unmount();
  expect(allCommands().map((c) => c.id)).not.toContain("gone");
});

test("Shift is told apart with letters, and belongs to the sign elsewhere", () => {
  const [plain, shifted, sign] = [vi.fn(), vi.fn(), vi.fn()];
  render(<><Offer id="plain" keys="Mod+F" run={plain} /><Offer id="shifted" keys="Mod+Shift+F" run={shifted} /><Offer id="sign" keys="?" run={sign} /></>);
  const stop = listenForKeys();
  dispatchEvent(new KeyboardEvent("keydown", { key: "F", ctrlKey: true, shiftKey: true }));
  dispatchEvent(new KeyboardEvent("keydown", { key: "?", shiftKey: true }));
  stop();
  expect([plain, shifted, sign].map((f) => f.mock.calls.length)).toEqual([0, 1, 1]);
});
