// What the linter asks of this package: typescript-eslint's strict rules with types.
import tseslint from "typescript-eslint";

export default tseslint.config(
    {ignores: ["dist", "src/gen", "node_modules"]},
    ...tseslint.configs.strictTypeChecked,
    {
        languageOptions: {parserOptions: {project: ["tsconfig.json", "test/tsconfig.json"], tsconfigRootDir: import.meta.dirname}},
        rules: {
            "@typescript-eslint/restrict-template-expressions": ["error", {allowNumber: true, allowBoolean: true}],
            "@typescript-eslint/no-confusing-void-expression": ["error", {ignoreArrowShorthand: true}],
            "@typescript-eslint/no-unnecessary-condition": ["error", {allowConstantLoopConditions: "only-allowed-literals"}],
        },
    },
    {
        files: ["test/**/*.ts"],
        rules: {
            // node:test returns promises that the runner itself awaits.
            "@typescript-eslint/no-floating-promises": "off",
            "@typescript-eslint/no-non-null-assertion": "off",
        },
    },
    {files: ["eslint.config.js"], ...tseslint.configs.disableTypeChecked},
);
