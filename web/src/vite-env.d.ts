// What the build puts in.
/// <reference types="vite/client" />
declare const __VERSION__: string;
