// Short SQL, answered column by column and read row by row.

import { get } from './client';
import { seconds, type Window } from '../lib/time';

interface Answer {
  columns: { name: string; type: string; values: unknown[] }[];
  rows: number;
  truncated: boolean;
}

export type Row = Record<string, unknown>;

/** Asks over the records and spans of a window. */
export async function sql(query: string, window: Window, signal?: AbortSignal): Promise<Row[]> {
  const answer = await get<Answer>('/api/v1/sql', { query, start: seconds(window.from), end: seconds(window.to) }, signal);
  return Array.from({ length: answer.rows }, (_, i) => Object.fromEntries(answer.columns.map((c) => [c.name, c.values[i]])));
}
