// What programs really print when they fail, and what a person should see of it.
import { expect, test } from "vitest";
import { bare, fileOf, parseProblems } from "./problems";

const told = (output: string) => parseProblems(output).map((p) => `${p.severity} ${p.path}:${p.line}:${p.column} ${p.message}`);

test("rustc's errors and warnings are found at their arrow, in colour or not", () => {
  expect(told(`\u001b[1m\u001b[33mwarning\u001b[0m\u001b[1m: unused import: \`std::fmt::Write\`\u001b[0m
 \u001b[94m--> \u001b[0msrc/error.rs:3:5
  |
3 | use std::fmt::Write;
  |     ^^^^^^^^^^^^^^^

error[E0308]: mismatched types
 --> src/main.rs:4:18
  |
4 |     let x: i32 = "a";
  |            ---   ^^^ expected \`i32\`, found \`&str\`
  |
note: a note is not a problem
 --> src/main.rs:9:9
error: could not compile \`demo\` (bin "demo") due to 1 previous error; 1 warning emitted
`)).toEqual(["warning src/error.rs:3:5 unused import: `std::fmt::Write`", "error src/main.rs:4:18 mismatched types · E0308"]);
});

test("a panic of a Rust program", () => {
  expect(told("thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds: the len is 3 but the index is 9\nnote: run with `RUST_BACKTRACE=1`")).toEqual(["error src/main.rs:2:5 index out of bounds: the len is 3 but the index is 9"]);
  expect(told("\nthread 'main' (4711) panicked at src/main.rs:2:5:\nboom\n")).toEqual(["error src/main.rs:2:5 boom"]);
});

test("gcc's and clang's complaints, without their notes", () => {
  expect(told(`main.c: In function 'main':
main.c:3:5: warning: implicit declaration of function 'put' [-Wimplicit-function-declaration]
main.c:3:5: note: include '<stdio.h>'
src/b.c:4:1: error: expected ';' before '}' token
gone.c:1:10: fatal error: nothing.h: No such file or directory
`)).toEqual(["warning main.c:3:5 implicit declaration of function 'put' [-Wimplicit-function-declaration]", "error src/b.c:4:1 expected ';' before '}' token", "error gone.c:1:10 nothing.h: No such file or directory"]);
});

test("tsc in both of its forms", () => {
  expect(told("src/a.ts(3,5): error TS2304: Cannot find name 'x'.\n\u001b[96msrc/b.tsx\u001b[0m:\u001b[93m7\u001b[0m:\u001b[93m12\u001b[0m - \u001b[91merror\u001b[0m\u001b[90m TS2322: \u001b[0mType 'string' is not assignable to type 'number'.\n")).toEqual(["error src/a.ts:3:5 Cannot find name 'x'. · TS2304", "error src/b.tsx:7:12 Type 'string' is not assignable to type 'number'. · TS2322"]);
});

test("node's uncaught error is told once, with the caret's column", () => {
  expect(told(`file:///workspace/src/words.js:3
    throw new TypeError("no words");
          ^

TypeError: no words
    at count (file:///workspace/src/words.js:3:11)
    at file:///workspace/src/words.js:6:1

Node.js v20.20.2
`)).toEqual(["error /workspace/src/words.js:3:11 TypeError: no words"]);
});

test("a syntax error of node, and an error that the program logged itself", () => {
  expect(told(`/workspace/a.js:2
const = 1;
      ^

SyntaxError: Unexpected token '='
    at wrapSafe (node:internal/modules/cjs/loader:1469:18)
`)).toEqual(["error /workspace/a.js:2:7 SyntaxError: Unexpected token '='"]);
  expect(told("RangeError: too much\n    at Object.<anonymous> (node:internal/x:1:2)\n    at run (/workspace/node_modules/x/i.js:1:1)\n    at main (/workspace/a.js:9:3)\n")).toEqual(["error /workspace/a.js:9:3 RangeError: too much"]);
});

test("python's traceback points at the innermost place in one's own files", () => {
  expect(told(`Traceback (most recent call last):
  File "/workspace/src/main.py", line 9, in <module>
    load("x")
    ~~~~^^^^^
  File "/workspace/src/data.py", line 3, in load
    json.loads(text)
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
`)).toEqual(["error /workspace/src/data.py:3:1 json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"]);
});

test("python's chained tracebacks and syntax errors", () => {
  expect(told(`Traceback (most recent call last):
  File "a.py", line 2, in <module>
    int("x")
ValueError: invalid literal for int() with base 10: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 4, in <module>
    raise RuntimeError("bad")
RuntimeError: bad
  File "b.py", line 1
    if True
           ^
SyntaxError: expected ':'
`)).toEqual(["error a.py:2:1 ValueError: invalid literal for int() with base 10: 'x'", "error a.py:4:1 RuntimeError: bad", "error b.py:1:1 SyntaxError: expected ':'"]);
});

test("pytest's failures carry the test's name and its reason", () => {
  expect(told(`=================== FAILURES ===================
______________ test_round_half_even ______________

    def test_round_half_even():
>       assert price(2.5) == 2
E       assert 3 == 2
E        +  where 3 = price(2.5)

tests/test_price.py:14: AssertionError
`)).toEqual(["error tests/test_price.py:14:1 test_round_half_even: assert 3 == 2"]);
});

test("go, bash and perl", () => {
  expect(told('./main.go:5:2: undefined: fmt.Printn\nrun.sh: line 3: nothing: command not found\nCan\'t locate object method "x" at run.pl line 7.\n')).toEqual(["error main.go:5:2 undefined: fmt.Printn", "error run.sh:3:1 nothing: command not found", 'error run.pl:7:1 Can\'t locate object method "x"']);
});

test("ordinary output has no problems", () => {
  expect(told("12:30:11 started\nhttp://localhost:8000/\nwarning: nothing to do\nTotal: 3:4\nsrc/main.rs:4:5\nError: no stack below\n")).toEqual([]);
});

test("the same complaint is told once, and there is an end to them", () => {
  expect(parseProblems("a.c:1:1: error: x\n".repeat(9))).toHaveLength(1);
  expect(parseProblems(Array.from({ length: 5_000 }, (_, i) => `a.c:${i + 1}:1: error: x`).join("\n"))).toHaveLength(200);
});

test("a long output is read in little time", () => {
  const before = performance.now();
  parseProblems(`${"x".repeat(500)} at ${"y".repeat(500)}\n`.repeat(2_000));
  expect(performance.now() - before).toBeLessThan(1_000);
});

test("a place in the sandbox is found among the workspace's files", () => {
  const files = new Set(["main.py", "src/main.py", "src/lib/a.rs"]);
  expect(fileOf("/workspace/src/main.py", files)).toBe("src/main.py");
  expect(fileOf("./main.py", files)).toBe("main.py");
  expect(fileOf("file:///ws/1/src/lib/a.rs", files)).toBe("src/lib/a.rs");
  expect(fileOf("/usr/lib/python3/json.py", files)).toBeUndefined();
});

test("colours, titles and links are taken off", () => {
  expect(bare("\u001b[1;31mred\u001b[0m \u001b]0;title\u0007and \u001b]8;;http://a\u001b\\link\u001b]8;;\u001b\\")).toBe("red and link");
});
