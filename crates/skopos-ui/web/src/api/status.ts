// `/api/v1/status`, read leniently: a figure that this version does not give is left out, not shown as zero.

import { bytes, compact } from '../lib/format';

export type Status = Record<string, unknown>;

function number(from: unknown, ...path: string[]): number | null {
  let at: unknown = from;
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return null;
    at = (at as Record<string, unknown>)[key];
  }
  return typeof at === 'number' ? at : null;
}

export interface Problem {
  severity: string;
  what: string;
  remedy: string;
}

/** What is wrong with the server, and what to do about it. */
export function problems(status: Status): Problem[] {
  return Array.isArray(status.problems) ? (status.problems as Problem[]) : [];
}

export function facts(status: Status): { ok: boolean; reason: string; items: string[] } {
  const state = status.ingest;
  const text = typeof state === 'string' ? state : String((state as { state?: string } | undefined)?.state ?? 'ok');
  const items: string[] = [];
  const add = (value: number | null, say: (n: number) => string): void => {
    if (value !== null) items.push(say(value));
  };
  add(number(status, 'rates', 'spans'), (n) => `${compact(n)} spans/s`);
  add(number(status, 'rates', 'logs'), (n) => `${compact(n)} logs/s`);
  add(number(status, 'rates', 'samples'), (n) => `${compact(n)} samples/s`);
  add(number(status, 'head_series'), (n) => `${compact(n)} series`);
  add(number(status, 'disk', 'free'), (n) => `${bytes(n)} disk free`);
  return { ok: text === 'ok', reason: text, items };
}
