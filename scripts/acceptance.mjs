// npm run acceptance -- LIST [NUMBER...]: what each part of the kernel was promised to do, checked line by line.
//
// LIST is `kernel`, `product` or `kern_lwp`; the lists stand in scripts/acceptance/. Every line runs its commands in this
// checkout and prints what they showed. On two quiet cores a list takes between minutes and an hour. Exit status: 0 all
// lines hold; 1 one does not; 2 the command line is wrong.

import { tools } from "./acceptance/tools.mjs";

const LISTS = ["kernel", "product", "kern_lwp"];
const [list, ...numbers] = process.argv.slice(2);
if (!LISTS.includes(list) || numbers.some((n) => !/^\d+$/.test(n))) {
  process.stderr.write(`usage: npm run acceptance -- ${LISTS.join("|")} [NUMBER...]\n`);
  process.exit(2);
}

const { lines } = await import(`./acceptance/${list}.mjs`);
for (const [i, { name, check }] of lines.entries()) {
  if (numbers.length > 0 && !numbers.includes(String(i + 1))) continue;
  let verdict;
  try {
    verdict = `holds   ${await check(tools)}`;
  } catch (error) {
    process.exitCode = 1;
    verdict = `NOT REACHED   ${error.message}`;
  }
  process.stdout.write(
    `${String(i + 1).padStart(2)}  ${name}\n    ${verdict.replaceAll(/\n+/g, "\n            ")}\n`,
  );
}
