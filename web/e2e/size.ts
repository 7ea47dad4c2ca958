// Holds the budget: what the shell and each tab load, gzip, from the build's manifest.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

interface Chunk { file: string; imports?: string[]; dynamicImports?: string[]; isEntry?: boolean }
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("asset-manifest.json", dist), "utf8")) as Record<string, Chunk>;

function closure(keys: string[], seen = new Set<string>()): Set<string> {
  for (const key of keys) {
    if (seen.has(key)) continue;
    seen.add(key);
    closure(manifest[key]?.imports ?? [], seen);
  }
  return seen;
}
const kib = (keys: Iterable<string>): number => [...keys].reduce((sum, key) => sum + gzipSync(readFileSync(new URL(manifest[key]?.file ?? "", dist))).length, 0) / 1024;

const entry = Object.keys(manifest).filter((key) => manifest[key]?.isEntry);
const shell = closure([...entry, "src/shell.tsx"]);
const signin = closure([...entry, "src/signin/page.tsx"]);
// The top bar fetches these by itself, on every page and at every width.
const menus = closure(["src/shell/top-menus.tsx", "src/shell/workspaces.tsx"], new Set(shell));
const tabs = ["code", "chat", "run", "terminal", "logs", "admin", "account"].map((id) => [`src/tabs/${id}/tab.tsx`, 110] as const);
const pages = ["models", "users", "usage"].map((id) => [`src/tabs/admin/${id}.tsx`, 110] as const);
const rows: [string, number, number][] = [["sign-in", kib(signin), 180], ["shell", kib(shell), 180], ["menus of the top bar, loaded after it", kib([...menus].filter((k) => !shell.has(k))), 110]];
for (const [key, limit] of [...tabs, ...pages]) rows.push([key, kib([...closure([key])].filter((k) => !menus.has(k))), limit]);
const monaco = [...closure(["src/tabs/code/workspace.tsx"])].filter((k) => !shell.has(k));
console.log(`monaco with the editor  ${kib(monaco).toFixed(1)} KiB`);
let over = 0;
for (const [name, size, limit] of rows) {
  if (size > limit) over += 1;
  console.log(`${name}  ${size.toFixed(1)} KiB of ${limit}${size > limit ? "  TOO LARGE" : ""}`);
}
process.exitCode = over > 0 ? 1 : 0;
