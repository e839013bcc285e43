// npm test [-- FILTER...]: runs the compiled tests whose path contains one of the filters, or all.

import { findTestFiles, runTests } from "./run-tests.mjs";

const { results, failed } = await runTests(findTestFiles(process.argv.slice(2)), { report: process.stdout });
const ran = results.filter((result) => !result.skipped).length;
if (ran === 0) process.stderr.write("no test ran\n");
if (failed || ran === 0) process.exitCode = 1;
