// One page after the other for the tests of a file: each test enters anew, what failed leaves a picture, and no test sees
// another's page.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll } from "vitest";
import { launch, open, signIn, type View } from "./browser.ts";

interface Server { url: string; email: string; password: string }
/** A page and what its console complained of. */
export interface Visit { page: Page; complaints: string[] }

/** Gives a function that signs in to a server in a page of its own; to be called once in a file. */
export function visits(server: Server, patienceMs: number): (view: View) => Promise<Visit> {
  let browser: Browser;
  let now: (Visit & { leave: () => Promise<void> }) | null = null;
  beforeAll(async () => { browser = await launch(); });
  afterAll(() => browser.close());
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await now?.page.screenshot({ path: `test-results/${task.name.replace(/\W+/g, "-").slice(0, 80)}.png` });
    await now?.leave();
    now = null;
  });
  return async (view) => {
    const { context, page, complaints } = await open(browser, server.url, { ...view, reducedMotion: true });
    now = { page, complaints, leave: () => context.close() };
    page.setDefaultTimeout(patienceMs);
    await signIn(page, server.url, server.email, server.password);
    return now;
  };
}
