// What scenes of pictures share: what a scene is, and steps that many of them take.
import type { Page } from "playwright-core";
import type { ReadFileResponse } from "../../src/gen/devstudio/sandbox/v1/workspace_pb.ts";
import type { Stage } from "../stage.ts";

/** Makes what a picture shows; may give back how that is undone. */
export type Scene = (page: Page, stage: Stage) => Promise<void | (() => Promise<void>)>;
export const button = (page: Page, name: RegExp) => page.getByRole("button", { name });
export async function settled(page: Page, ms = 500): Promise<void> {
  await page.mouse.move(720, 4);
  await page.waitForTimeout(ms);
}
export async function ask(page: Page, text: string): Promise<void> {
  await page.getByLabel(/^(Nachricht|Message)$/).fill(text);
  await button(page, /^(Senden|Send)$/).click();
}

export const textOf = ({ content, version }: ReadFileResponse) => ({ ...(content.case === "text" ? { text: content.value } : {}), version });
