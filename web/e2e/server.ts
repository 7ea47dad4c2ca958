// Serves the journeys: the server at DEVSTUDIO_E2E_URL, else the double over the built Studio. DEVSTUDIO_E2E_HUB is the
// address at which that server looks for models; the admin's journey serves a hub there. DEVSTUDIO_E2E_SCRIPTED says that
// that server's model follows the script of tests/agents_by_hand.rs.
import type { TestProject } from "vitest/node";
import { startDouble } from "./double/main.ts";

declare module "vitest" {
  interface ProvidedContext { server: { url: string; email: string; password: string; real: boolean; scripted: boolean; hub: string } }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env["DEVSTUDIO_E2E_URL"];
  const email = process.env["DEVSTUDIO_E2E_EMAIL"] ?? "admin@devstudio.local";
  const password = process.env["DEVSTUDIO_E2E_PASSWORD"] ?? "correct horse";
  const double = url ? null : await startDouble();
  project.provide("server", { url: url ?? double?.url ?? "", email, password, real: Boolean(url), scripted: Boolean(process.env["DEVSTUDIO_E2E_SCRIPTED"]), hub: process.env["DEVSTUDIO_E2E_HUB"] ?? "" });
  return async () => double?.close();
}
