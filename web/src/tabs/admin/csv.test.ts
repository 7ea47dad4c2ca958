// Usage as CSV is safe to open.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { UsageSumSchema } from "../../gen/devstudio/billing/v1/billing_pb";
import { csvOf } from "./csv";

test("names with commas and formulas stay text", () => {
  const sum = create(UsageSumSchema, { group: "u1", requests: 2n, promptTokens: 30n, completionTokens: 12n });
  const csv = csvOf([sum], [], [], new Map([["u1", '=HYPERLINK("x"),y']]));
  expect(csv.split("\r\n")[1]).toBe('user,u1,"\'=HYPERLINK(""x""),y",2,30,12,0,0');
});
