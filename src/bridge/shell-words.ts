import { AgentError } from '../errors.ts';

const blank = /[ \t\n]/;
/** What a backslash escapes inside double quotes (POSIX.1-2024, XCU 2.2.3). */
const escapedInDoubleQuotes = '$`"\\\n';

/**
 * Splits a command line as a POSIX shell does (XCU 2.2, quoting), without any expansion: no
 * variables, globs, comments or operators. Throws AgentError 'invalid-argument' for an open quote
 * or a backslash at the end; `field` names the request's field in it.
 */
export function splitShellWords(line: string, field: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (blank.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === "'") {
      const end = line.indexOf("'", i + 1);
      if (end < 0) throw open('single quote', i, field);
      word = (word ?? '') + line.slice(i + 1, end);
      i = end;
    } else if (c === '"') {
      const quoted = doubleQuoted(line, i, field);
      word = (word ?? '') + quoted.text;
      i = quoted.end;
    } else if (c === '\\') {
      if (i + 1 === line.length) throw open('backslash', i, field);
      i += 1;
      // A backslash and a newline join two lines.
      if (line.charAt(i) !== '\n') word = (word ?? '') + line.charAt(i);
    } else {
      word = (word ?? '') + c;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** The text between double quotes, of which the first is at `start`, and where the second is. */
function doubleQuoted(line: string, start: number, field: string): { text: string; end: number } {
  let text = '';
  for (let i = start + 1; i < line.length; i++) {
    const c = line.charAt(i);
    if (c === '"') return { text, end: i };
    const next = line.charAt(i + 1);
    if (c === '\\' && next !== '' && escapedInDoubleQuotes.includes(next)) {
      if (next !== '\n') text += next;
      i += 1;
    } else {
      text += c;
    }
  }
  throw open('double quote', start, field);
}

function open(what: string, index: number, field: string): AgentError {
  const message = `${field}: nothing closes the ${what} at character ${index + 1}`;
  return new AgentError('invalid-argument', message, { field });
}
