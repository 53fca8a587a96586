// A record's text: its body, else its event name, followed by the attributes that a line can hold.

import type { Attributes, LogRecord } from '../api/types';
import { visible } from './format';

export function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value) ?? '';
}

/** Attributes that tell records apart rather than say something: last in a line. */
const NOISE = /(^|[._])id$|^target$|^otel\.|_key$/;

export function bodyText(log: LogRecord): string {
  const body = log.body === null || log.body === '' ? log.event_name : valueText(log.body);
  const extra = Object.entries(log.attributes)
    .filter(([name]) => !name.startsWith('code.') && !name.startsWith('thread.') && !name.startsWith('log.'))
    .sort(([a], [b]) => Number(NOISE.test(a)) - Number(NOISE.test(b)))
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(' ');
  // Line breaks would tear the row; the drawer has the whole text.
  return visible(`${body}  ${extra}`.slice(0, 1000).replace(/\s*[\r\n]+\s*/g, ' ⏎ ').trim().slice(0, 600));
}

/** Attributes, nested maps flattened with dots, in order of name. */
export function flat(attributes: Attributes): [string, string][] {
  const out: [string, string][] = [];
  const walk = (prefix: string, value: unknown): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
      for (const [name, inner] of Object.entries(value)) walk(`${prefix}.${name}`, inner);
    } else {
      out.push([prefix, valueText(value)]);
    }
  };
  for (const [name, value] of Object.entries(attributes)) walk(name, value);
  return out.sort(([a], [b]) => a.localeCompare(b));
}
