// Just enough of PromQL to complete it: where the caret stands, and what may stand there. What an expression means,
// and whether it is right, only the server says.

export const AGGREGATIONS = [
  'avg', 'bottomk', 'count', 'count_values', 'group', 'limit_ratio', 'limitk', 'max', 'min', 'quantile', 'stddev', 'stdvar', 'sum', 'topk',
];
export const FUNCTIONS = [
  'abs', 'absent', 'absent_over_time', 'avg_over_time', 'ceil', 'changes', 'clamp', 'clamp_max', 'clamp_min', 'count_over_time',
  'day_of_month', 'day_of_week', 'day_of_year', 'days_in_month', 'delta', 'deriv', 'exp', 'floor', 'histogram_avg', 'histogram_count',
  'histogram_fraction', 'histogram_quantile', 'histogram_stddev', 'histogram_stdvar', 'histogram_sum', 'hour', 'idelta', 'increase',
  'irate', 'label_join', 'label_replace', 'last_over_time', 'ln', 'log10', 'log2', 'max_over_time', 'min_over_time', 'minute', 'month',
  'predict_linear', 'present_over_time', 'quantile_over_time', 'rate', 'resets', 'round', 'scalar', 'sgn', 'sort', 'sort_by_label',
  'sort_by_label_desc', 'sort_desc', 'sqrt', 'stddev_over_time', 'stdvar_over_time', 'sum_over_time', 'time', 'timestamp', 'vector', 'year',
];
const LABEL_LISTS = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
export const KEYWORDS = [...LABEL_LISTS, 'and', 'or', 'unless', 'offset', 'bool'];
const WORDS = new Set([...AGGREGATIONS, ...FUNCTIONS, ...KEYWORDS, 'inf', 'nan', 'start', 'end', 'atan2']);
export const DURATIONS = ['1m', '5m', '10m', '15m', '30m', '1h', '6h', '1d', '7d'];

/** What may stand at the caret, and which part of the text it takes the place of. */
export interface Place {
  kind: 'name' | 'label' | 'value' | 'duration';
  /** What is typed of it. */
  prefix: string;
  start: number;
  end: number;
  /** The metric whose labels are meant; `''` when it is not known. */
  metric: string;
  /** Of a value, its label. */
  label: string;
  /** Of a value: no quote stands before it yet. */
  bare: boolean;
}

interface Open {
  bracket: '{' | '(' | '[';
  /** The word right before it. */
  word: string;
}

export function placeAt(text: string, caret: number): Place | null {
  const stack: Open[] = [];
  let word = '';
  let label = '';
  let operator = false;
  let i = 0;
  while (i < caret) {
    const c = text[i]!;
    const top = stack.at(-1)?.bracket;
    if (c === '#') {
      const end = text.indexOf('\n', i);
      if (end < 0 || end >= caret) return null;
      i = end;
    } else if (c === '"' || c === "'" || c === '`') {
      const end = closing(text, i);
      if (end >= caret) {
        return top === '{' && label !== '' ? { kind: 'value', prefix: text.slice(i + 1, caret), start: i + 1, end, metric: stack.at(-1)!.word, label, bare: false } : null;
      }
      i = end;
      operator = false;
    } else if (/[A-Za-z_:]/.test(c)) {
      let end = i + 1;
      while (end < text.length && /[\w:.]/.test(text[end]!)) end += 1;
      if (end >= caret) break;
      word = text.slice(i, end);
      if (top === '{' && !operator) label = word;
      i = end;
      continue;
    } else if (c === '{' || c === '(' || c === '[') {
      stack.push({ bracket: c, word });
      word = '';
      label = '';
      operator = false;
    } else if (c === '}' || c === ')' || c === ']') {
      stack.pop();
      word = '';
      operator = false;
    } else if (top === '{' && (c === '=' || c === '!' || c === '~')) {
      operator = true;
    } else if (c === ',') {
      operator = false;
      label = '';
    } else if (!/\s/.test(c)) {
      word = '';
    }
    i += 1;
  }
  const open = stack.at(-1);
  const start = i;
  const prefix = text.slice(start, caret);
  let end = caret;
  while (end < text.length && /[\w:.]/.test(text[end]!)) end += 1;
  const place = { prefix, start, end, metric: '', label: '', bare: false };
  if (open?.bracket === '[') {
    const from = text.lastIndexOf('[', caret - 1) + 1;
    const typed = text.slice(from, caret);
    return /[:\]]/.test(typed) ? null : { ...place, kind: 'duration', prefix: typed, start: from };
  }
  if (open?.bracket === '{') {
    return operator ? { ...place, kind: 'value', metric: open.word, label, bare: true } : { ...place, kind: 'label', metric: open.word };
  }
  if (open?.bracket === '(' && LABEL_LISTS.has(open.word.toLowerCase())) return { ...place, kind: 'label', metric: firstMetric(text) };
  // A number, or something else that no name can follow.
  return start === caret && /[\w.\])}]$/.test(text.slice(0, caret)) ? null : { ...place, kind: 'name' };
}

/** Where a quoted text ends: at its closing quote, or at the end of all. */
function closing(text: string, at: number): number {
  const quote = text[at];
  for (let i = at + 1; i < text.length; i += 1) {
    if (text[i] === '\\' && quote !== '`') i += 1;
    else if (text[i] === quote) return i;
  }
  return text.length;
}

/** The first name in an expression that is no word of the language: most likely a metric. */
export function firstMetric(text: string): string {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '""').replace(/\{[^}]*\}/g, '{}').replace(/\[[^\]]*\]/g, '[]')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi, '');
  for (const [name] of bare.matchAll(/(?<![\w:.])[A-Za-z_:][\w:]*/g)) {
    if (!WORDS.has(name.toLowerCase())) return name;
  }
  return '';
}

/** Of words and names those that have what is typed, at the beginning first. */
export function matching(all: string[], typed: string): string[] {
  const wanted = typed.toLowerCase();
  const has = all.filter((name) => name.toLowerCase().includes(wanted));
  return [...has.filter((name) => name.toLowerCase().startsWith(wanted)), ...has.filter((name) => !name.toLowerCase().startsWith(wanted))];
}

/** A selector for the names that have what is typed. */
export function namesLike(typed: string): string {
  const part = typed.replace(/[^\w:]/g, '');
  return `{__name__=~"${part === '' ? '.+' : `(?i).*${part}.*`}"}`;
}

export interface Meta {
  type: string;
  help: string;
  unit: string;
}

/** What people mostly want to see of a metric: the rate of a counter, a quantile of a histogram, a gauge as it is. */
export function starting(name: string, type: string): string {
  const counter = type === 'counter' || (type !== 'gauge' && /_(total|count|sum)$/.test(name));
  if (type === 'histogram' && !/_(bucket|count|sum)$/.test(name)) return `histogram_quantile(0.99, sum by (le) (rate(${name}_bucket[5m])))`;
  if (/_bucket$/.test(name)) return `histogram_quantile(0.99, sum by (le) (rate(${name}[5m])))`;
  return counter ? `sum(rate(${name}[5m]))` : name;
}

export interface Summary {
  last: number | null;
  min: number | null;
  max: number | null;
  avg: number | null;
}

export function summary(values: (number | null)[]): Summary {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { last: null, min: null, max: null, avg: null };
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (const value of known) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { last: known[known.length - 1]!, min, max, avg: sum / known.length };
}
