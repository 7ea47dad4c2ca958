// Fetches a part of the Studio before it is needed, without running it: what runs takes the page's one thread.

interface Chunk { file: string; imports?: string[]; css?: string[] }

/** Has the browser fetch and compile a module of the build and all that it imports. */
export async function warmUp(source: string): Promise<void> {
  const answer = await fetch("/asset-manifest.json");
  if (!answer.ok) return;
  const manifest = (await answer.json()) as Record<string, Chunk>;
  const seen = new Set<string>();
  const add = (key: string): void => {
    const chunk = manifest[key];
    if (!chunk || seen.has(key)) return;
    seen.add(key);
    const href = `/${chunk.file}`;
    if (!document.head.querySelector(`link[href="${href}"]`)) document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href }));
    for (const needed of chunk.imports ?? []) add(needed);
  };
  add(source);
}
