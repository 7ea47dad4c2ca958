// Prints the Studio's figures, one a line; with --json as JSON. Names of groups (tree, file, log, first) measure only those. Against DEVSTUDIO_E2E_URL, else the double.
import { launch } from "./browser.ts";
import { startDouble } from "./double/main.ts";
import { allGroups, measure } from "./measure.ts";

const address = process.env["DEVSTUDIO_E2E_URL"];
const double = address ? null : await startDouble();
const named = allGroups.filter((group) => process.argv.includes(group));
const browser = await launch();
const figures = await measure(browser, { url: address ?? double?.url ?? "", email: process.env["DEVSTUDIO_E2E_EMAIL"] ?? "admin@devstudio.local", password: process.env["DEVSTUDIO_E2E_PASSWORD"] ?? "correct horse" }, named.length > 0 ? named : allGroups);
await browser.close();
await double?.close();
if (process.argv.includes("--json")) console.log(JSON.stringify(figures, null, 2));
else for (const { name, unit, value, must, aim, rounds } of figures) console.log(`${name}: ${value.toFixed(0)} ${unit}, must ${must}${aim === undefined ? "" : `, aim ${aim}`}${value > must ? "  MISSED" : ""} (${rounds.map((round) => round.toFixed(0)).join(", ")})`);
process.exitCode = figures.some(({ value, must }) => !(value <= must)) ? 1 : 0;
