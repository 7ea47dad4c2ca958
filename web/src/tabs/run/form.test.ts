// Arguments are cut as a shell would cut them.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RunExecRequestSchema } from "../../gen/devstudio/sandbox/v1/run_pb";
import { argsOf, formOf } from "./form";

test.each([
  ["", []],
  ["a b", ["a", "b"]],
  ['--name "two words" \'and more\'', ["--name", "two words", "and more"]],
  ['"say \\"hi\\""', ['say "hi"']],
])("%s", (line, args) => expect(argsOf(line)).toEqual(args));

test("a request fills the form it came from", () => {
  const form = formOf(create(RunExecRequestSchema, { engine: "run", runtime: "node", path: "a.js", args: ["x y", "z"], env: { TZ: "UTC" }, timeoutMs: 2_500, memoryBytes: 134_217_728n }));
  expect(form).toMatchObject({ from: "file", path: "a.js", args: '"x y" z', env: "TZ=UTC", seconds: "2.5", mebibytes: "128" });
  expect(argsOf(form.args)).toEqual(["x y", "z"]);
});
