// Opens Chromium for tests and pictures.
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--font-render-hinting=none"];

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: flags });

export interface View { width: number; height?: number; theme?: "NeonCyberNight" | "SerialSteel"; locale?: "de" | "en"; reducedMotion?: boolean }

/** A fresh context with a theme and a language. Requests to other hosts are refused; previews are served under names of this machine. */
export async function open(browser: Browser, url: string, view: View): Promise<{ context: BrowserContext; page: Page; complaints: string[] }> {
  const { width, height = width < 768 ? 844 : 900, theme = "NeonCyberNight", locale = "de" } = view;
  const context = await browser.newContext({ viewport: { width, height }, deviceScaleFactor: width < 768 ? 2 : 1, hasTouch: width < 768, locale: locale === "de" ? "de-DE" : "en-GB", reducedMotion: view.reducedMotion ? "reduce" : "no-preference" });
  await context.addInitScript(([t, l]) => {
    if (!localStorage.getItem("devstudio.theme")) localStorage.setItem("devstudio.theme", t ?? "");
    if (!localStorage.getItem("PARAGLIDE_LOCALE")) localStorage.setItem("PARAGLIDE_LOCALE", l ?? "");
  }, [theme, locale]);
  const host = new URL(url).host;
  const complaints: string[] = [];
  await context.route((target) => target.host !== host && !target.hostname.endsWith(".localhost") && !target.protocol.startsWith("data"), (route) => {
    complaints.push(`outside request: ${route.request().url()}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error" || /Content.Security/i.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(`${error.message} ${error.stack?.split("\n")[1] ?? ""}`));
  return { context, page, complaints };
}

/** Signs in at the sign-in page. */
export async function signIn(page: Page, url: string, email: string, password: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel(/^E-Mail$/i).fill(email);
  await page.locator("#password").fill(password);
  await page.getByRole("button", { name: /^(Anmelden|Sign in)$/ }).click();
  await page.getByRole("navigation", { name: /^(Bereiche|Tabs)$/ }).waitFor();
}
