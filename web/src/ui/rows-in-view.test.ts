// Only rows in view are drawn, and a few around them.
import { expect, test } from "vitest";
import { rowsInView } from "./rows-in-view";

test("the rows in view and six around them are drawn, however many there are", () => {
  expect(rowsInView(0, 600, 30, 500_000)).toEqual({ from: 0, to: 26 });
  expect(rowsInView(7_500_000, 600, 30, 500_000)).toEqual({ from: 249_994, to: 250_026 });
  expect(rowsInView(15_000_000 - 600, 600, 30, 500_000)).toEqual({ from: 499_974, to: 500_000 });
});

test("a list that got shorter than where it was scrolled to draws its end", () => {
  expect(rowsInView(9_000, 600, 30, 10)).toEqual({ from: 0, to: 10 });
  expect(rowsInView(0, 600, 30, 0)).toEqual({ from: 0, to: 0 });
});
