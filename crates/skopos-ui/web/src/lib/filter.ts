// Just enough of the filter language to work on its terms: split at the top level, add, remove, quote.
// What a filter means, and whether it is right, only the server says.

/** The terms of a filter that are joined by white space or AND; what is in parentheses or quotes stays whole. */
export function terms(filter: string): string[] {
  const out: string[] = [];
  let term = '';
  let depth = 0;
  let quote = '';
  for (let i = 0; i < filter.length; i += 1) {
    const c = filter[i]!;
    if (quote) {
      term += c;
      if (c === '\\' && quote !== '`') term += filter[++i] ?? '';
      else if (c === quote) quote = '';
      continue;
    }
    if (c === '"' || c === "'" || c === '`') quote = c;
    if (c === '(') depth += 1;
    if (c === ')') depth -= 1;
    if (/\s/.test(c) && depth <= 0) {
      if (term) out.push(term);
      term = '';
    } else {
      term += c;
    }
  }
  if (term) out.push(term);
  return join(out);
}

/** `NOT x` and `a OR b` are one term each; AND is what white space means anyway. */
function join(words: string[]): string[] {
  if (words.some((word) => word === 'OR' || word === 'or')) return [words.join(' ')];
  const out: string[] = [];
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!;
    if (word === 'AND' || word === 'and') continue;
    if ((word === 'NOT' || word === 'not') && i + 1 < words.length) out.push(`${word} ${words[++i]!}`);
    else out.push(word);
  }
  return out;
}

/** A value as the language takes it: bare where that is safe, else in double quotes. */
export function quoted(value: string): string {
  if (/^[\p{L}\p{N}_./:-]+$/u.test(value) && !/^(AND|OR|NOT)$/i.test(value) && !/^[-:/.]/.test(value)) return value;
  return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n').replace(/\t/g, '\\t')}"`;
}

export function equals(field: string, value: string): string {
  return `${field}=${quoted(value)}`;
}

export function differs(field: string, value: string): string {
  return `${field}!=${quoted(value)}`;
}

/** Adds a term unless it is there. A filter with OR at the top is put in parentheses first. */
export function withTerm(filter: string, term: string): string {
  const all = terms(filter);
  if (all.includes(term)) return filter;
  const wrapped = all.map((t) => (/\s(OR|or)\s/.test(t) && !t.startsWith('(') ? `(${t})` : t));
  return [...wrapped, term].join(' ');
}

export function withoutTerm(filter: string, term: string): string {
  return terms(filter).filter((t) => t !== term).join(' ');
}

/** The terms that name where something ran: they follow from screen to screen. */
export function scopeOf(filter: string): string {
  return terms(filter).filter((t) => /^(service\.name|deployment\.environment(\.name)?|service\.namespace)=/.test(t)).join(' ');
}
