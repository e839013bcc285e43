/**
 * Keeps a source map right while text is inserted into the lines it describes.
 *
 * A line of `mappings` is a list of segments, separated by commas. A segment is up to five numbers: column, source, line,
 * column there, name; each is the distance from the segment before, in base64 VLQ. So an insertion between two segments
 * changes one number, the column of the second.
 */

/** Text of `length` characters, none of them a line break, was put before this place of the former code; from 0. */
export interface Insertion {
  readonly line: number;
  readonly column: number;
  readonly length: number;
  /** What it stands for in stack traces is at this column of the former line; unless said, what it was put before. */
  readonly standsFor?: number;
}

/** The mappings of the code with the insertions, which are in order. */
export function shiftColumns(mappings: string, insertions: readonly Insertion[]): string {
  const lines = mappings.split(";");
  for (let i = 0; i < insertions.length; ) {
    const { line } = insertions[i]!;
    let end = i;
    while (insertions[end]?.line === line) end++;
    // Beyond the last line nothing is mapped.
    if (line < lines.length) lines[line] = shiftLine(lines[line]!, insertions.slice(i, end));
    i = end;
  }
  return lines.join(";");
}

type Segment = number[];

function shiftLine(text: string, insertions: readonly Insertion[]): string {
  if (text === "") return "";
  const segments = text.split(",").map(readSegment);
  const shifted: Segment[] = [];
  let column = 0;
  let next = 0;
  for (const [i, segment] of segments.entries()) {
    column += segment[0]!;
    let before = 0;
    while (insertions[next] !== undefined && insertions[next]!.column < column)
      before += insertions[next++]!.length;
    let here = 0;
    let standsFor: number | undefined;
    while (insertions[next]?.column === column) {
      standsFor ??= insertions[next]!.standsFor;
      here += insertions[next++]!.length;
    }
    const [delta, ...place] = segment;
    if (here === 0 || place.length === 0) {
      shifted.push([delta! + before + here, ...place]);
      continue;
    }
    // What is put right before a segment gets one of its own, and the other goes on from there.
    const far = distance(segments, i, column, standsFor ?? column);
    const [source, line, at, ...name] = place as [number, number, number];
    shifted.push([delta! + before, source + far[0], line + far[1], at + far[2]]);
    shifted.push([here, -far[0], -far[1], -far[2], ...name]);
  }
  return shifted.map(writeSegment).join(",");
}

/** How far apart in the source are segment `from`, which is at `column`, and the one at column `to`. */
function distance(segments: Segment[], from: number, column: number, to: number): [number, number, number] {
  const far: [number, number, number] = [0, 0, 0];
  for (let i = from + 1, at = column; i < segments.length; i++) {
    const [delta, source, line, sourceColumn] = segments[i]!;
    at += delta!;
    if (at > to) break;
    if (source === undefined) continue;
    far[0] += source;
    far[1] += line!;
    far[2] += sourceColumn!;
  }
  return far;
}

// --- base64 VLQ: five bits a digit, the least significant first; the sign in the lowest bit of all --------

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Another digit follows. */
const MORE = 32;

function readSegment(text: string): Segment {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const digit = DIGITS.indexOf(character);
    value |= (digit & (MORE - 1)) << shift;
    shift += 5;
    if ((digit & MORE) !== 0) continue;
    numbers.push((value & 1) === 0 ? value >>> 1 : -(value >>> 1));
    value = shift = 0;
  }
  return numbers;
}

function writeSegment(segment: Segment): string {
  let text = "";
  for (const number of segment) {
    let rest = number < 0 ? (-number << 1) | 1 : number << 1;
    do {
      const digit = rest & (MORE - 1);
      rest >>>= 5;
      text += DIGITS[rest > 0 ? digit | MORE : digit];
    } while (rest > 0);
  }
  return text;
}
