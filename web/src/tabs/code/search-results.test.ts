// Occurrences are cut out of a line by their ranges.
import { expect, test } from "vitest";
import { pieces } from "./search-results";

test("every second piece is an occurrence", () => {
  expect(pieces("a b a", [0, 1, 4, 5])).toEqual(["", "a", " b ", "a", ""]);
  expect(pieces("none", [])).toEqual(["none"]);
});
