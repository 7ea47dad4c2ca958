// Both languages have the same messages with the same parameters.
import { expect, test } from "vitest";
import de from "../i18n/de.json";
import en from "../i18n/en.json";

const params = (message: unknown) => [...new Set([...JSON.stringify(message).matchAll(/\{(\w+)\}/g)].map((found) => found[1]))].sort();

test("German and English have the same keys", () => {
  expect(Object.keys(en)).toEqual(Object.keys(de));
});

test("every message takes the same parameters in both languages", () => {
  const different = Object.keys(de).filter((key) => params(de[key as keyof typeof de]).join() !== params(en[key as keyof typeof en]).join());
  expect(different).toEqual([]);
});

test("no message is empty, shouts or apologises", () => {
  const texts = [...Object.entries(de), ...Object.entries(en)].filter(([key]) => key !== "$schema");
  expect(texts.filter(([, text]) => text === "" || /!|\bleider\b|\bsorry\b/i.test(JSON.stringify(text)))).toEqual([]);
});
