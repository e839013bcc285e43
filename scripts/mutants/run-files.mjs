// node run-files.mjs FILE...: runs several test files in one process, which saves starting one for each.

import path from "node:path";
import { pathToFileURL } from "node:url";

for (const file of process.argv.slice(2)) await import(pathToFileURL(path.resolve(file)).href);
