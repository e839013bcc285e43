/** Shifting the columns of a source map: every token is found again where it went, and nowhere else. */
import assert from "node:assert/strict";
import { SourceMap } from "node:module";
import { test } from "node:test";
import * as esbuild from "esbuild";
import * as fc from "fast-check";
import { type Insertion, shiftColumns } from "#dist/machine/columns.js";

const SOURCE = `
export  function   f ( a :  number , { b } : { b : number } )  {
    const   text : string  =  String ( a  +  b ) ; if ( text ) {  return  g ( text . length ) ;  }
  for ( const x of [ a ,  b ] )  g ( x ) ; /* a comment */ return  g ( a ) ;
}
function  g ( n : number ) : number  { return  n  *  2 ; }
`;

type RawMap = ConstructorParameters<typeof SourceMap>[0];

test("each token keeps its place in the source, and what is inserted has that of what follows, or another", async () => {
  const { code, map } = await esbuild.transform(SOURCE, {
    loader: "ts",
    sourcemap: "external",
    target: "esnext",
  });
  const raw = JSON.parse(map) as RawMap & { mappings: string };
  const lines = code.split("\n");
  const place = (m: SourceMap, line: number, column: number): string => {
    const e = m.findEntry(line, column);
    return "originalLine" in e ? `${e.originalLine}:${e.originalColumn}` : "";
  };
  const columnOf = (m: SourceMap, line: number, column: number): number => {
    const e = m.findEntry(line, column);
    return "generatedColumn" in e ? e.generatedColumn : -1;
  };
  const before = new SourceMap(raw);
  /** Columns of a line at which a token has a place of its own. */
  const tokens = lines.map((text, line) => {
    const columns = [...text.matchAll(/\w+|[^\w\s]/g)].map((m) => m.index);
    return columns.filter((column) => columnOf(before, line, column) === column);
  });
  const all = tokens.flatMap((columns, line) => columns.map((column) => ({ line, column })));

  fc.assert(
    fc.property(
      fc.array(
        fc.record({ at: fc.nat(all.length - 1), length: fc.integer({ min: 1, max: 70 }), far: fc.nat(3) }),
      ),
      (picks) => {
        const insertions = picks
          .sort((x, y) => x.at - y.at)
          .map(({ at, length, far }): Insertion => {
            const { line, column } = all[at]!;
            const standsFor = tokens[line]!.filter((c) => c >= column)[far];
            return { line, column, length, ...(standsFor === undefined ? {} : { standsFor }) };
          });
        const after = new SourceMap({ ...raw, mappings: shiftColumns(raw.mappings, insertions) });
        for (const { line, column } of all) {
          const here = insertions.filter((i) => i.line === line && i.column === column);
          const left = insertions.filter((i) => i.line === line && i.column < column);
          const sum = (list: Insertion[]): number => list.reduce((n, i) => n + i.length, 0);
          const moved = column + sum(left) + sum(here);
          assert.equal(place(after, line, moved), place(before, line, column), "the token");
          assert.equal(columnOf(after, line, moved), moved);
          if (here.length === 0) continue;
          const stands = here.find((i) => i.standsFor !== undefined)?.standsFor ?? column;
          for (const at of [column + sum(left), moved - 1]) {
            assert.equal(place(after, line, at), place(before, line, stands), "what is inserted");
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("a line without mappings, and one beyond the last, are left as they are", () => {
  assert.equal(
    shiftColumns(";;AAAA", [
      { line: 0, column: 0, length: 5 },
      { line: 7, column: 0, length: 5 },
    ]),
    ";;AAAA",
  );
});
