// Pictures of everything else that a person sees: chat, logs, admin, account, palette, menus.
import { ask, button, settled, type Scene } from "./steps.ts";

export const pages: Record<string, Scene> = {
  chat: async (page, { url, question }) => {
    await page.goto(`${url}/chat`);
    await ask(page, question);
    await button(page, /^(Neu erzeugen|Regenerate)$/).waitFor({ timeout: 90_000 });
    await settled(page, 900);
  },
  "chat-live": async (page, { url }) => {
    await page.goto(`${url}/chat`);
    await ask(page, "Explain what a sandbox is, and show a small Python program that needs one.");
    await page.getByTestId("cost").filter({ hasText: /[4-9]\d Token|[4-9]\d tokens/i }).waitFor({ timeout: 90_000 });
  },
  logs: async (page, { url, work }) => {
    await work();
    await page.goto(`${url}/logs?level=debug`);
    await page.getByRole("log").getByRole("button").last().waitFor();
    await settled(page);
  },
  "logs-line": async (page, { url }) => {
    await page.goto(`${url}/logs`);
    await page.getByRole("log").getByRole("button").filter({ hasText: "a chat finished" }).last().click();
    await settled(page);
  },
  models: async (page, { url }) => {
    await page.goto(`${url}/admin/models`);
    await settled(page, 61_000);
  },
  users: async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /Jonas Lenz/).first().waitFor();
    if ((page.viewportSize()?.width ?? 0) > 768) await page.locator("table").getByRole("button", { name: /Jonas Lenz/ }).click();
    await settled(page, 700);
  },
  "users-person": async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /Aylin Demir/).first().waitFor();
    await button(page, /Aylin Demir/).and(page.locator(":visible")).click();
    await settled(page, 700);
  },
  "users-add": async (page, { url }) => {
    await page.goto(`${url}/admin/users`);
    await button(page, /^(Nutzer anlegen|Nutzer hinzufügen|Add user)$/).click();
    await settled(page);
  },
  usage: async (page, { url }) => {
    await page.goto(`${url}/admin/usage`);
    await page.locator("svg[role=img] rect").first().waitFor({ state: "attached" });
    await settled(page);
  },
  account: async (page, { url }) => {
    await page.goto(`${url}/account`);
    await page.locator("svg[role=img] rect").first().waitFor({ state: "attached" });
    await settled(page);
  },
  palette: async (page, { url }) => {
    await page.goto(`${url}/code`);
    await settled(page, 800);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type("pr");
    await settled(page);
  },
  error: async (page, { url }) => {
    await page.goto(`${url}/run/00000000-0000-4000-8000-000000009999`);
    await page.getByRole("alert").waitFor();
    await settled(page);
  },
  menu: async (page, { url }) => {
    await page.goto(`${url}/code`);
    await button(page, /^(Menü von|Menu of)/).click();
    await settled(page);
  },
};
