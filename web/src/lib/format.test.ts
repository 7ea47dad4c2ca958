// Numbers as people read them, in both languages.
import { afterEach, expect, test } from "vitest";
import { overwriteGetLocale } from "../paraglide/runtime";
import { bytes, compact, parameters, span } from "./format";

const speak = (locale: "de" | "en") => overwriteGetLocale(() => locale);
afterEach(() => speak("en"));

test("numbers are shortened from ten thousand on, and grouped below", () => {
  speak("de");
  expect([compact(2_877), compact(1_500_000)]).toEqual(["2.877", "1,5\u00a0Mio."]);
  speak("en");
  expect([compact(2_877), compact(12_345), compact(1_500_000)]).toEqual(["2,877", "12.3K", "1.5M"]);
});

test("a model's parameters are millions and billions, never milli", () => {
  speak("en");
  expect([parameters(134_515_008n), parameters(1_543_714_304n), parameters(0n)]).toEqual(["135M", "1.54B", "–"]);
  speak("de");
  expect(parameters(1_543_714_304n)).toBe("1,54\u00a0Mrd.");
});

test("sizes and spans carry their unit", () => {
  speak("en");
  expect([bytes(611), bytes(98_362_432n), span(180), span(6_100), span(91_000)]).toEqual(["611 B", "93.8 MiB", "180 ms", "6.10 s", "1 min 31 s"]);
});
