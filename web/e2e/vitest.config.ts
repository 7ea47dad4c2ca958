// Runs the journeys in Chromium, one after the other.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["e2e/**/*.spec.ts"], testTimeout: 120_000, expect: { poll: { timeout: 10_000 } }, hookTimeout: 60_000, fileParallelism: false, globalSetup: ["e2e/server.ts"] } });
