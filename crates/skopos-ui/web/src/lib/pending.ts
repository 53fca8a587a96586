// Requests that have begun: in development the SDK tells them with a log record, of the event `skopos.pending`, that has the
// ids of a span still open. Its row is settled when the span arrives, before or after it: two exporters send them.

import type { LogRecord } from '../api/types';

export const PENDING = 'skopos.pending';

/** How the span of a beginning ended. */
export interface Ended {
  durationNs: number;
  failed: boolean;
}

/** What both a record and a span have. */
interface Ids {
  trace_id: string;
  span_id: string;
}

export const isPending = (log: LogRecord): boolean => log.event_name === PENDING && log.span_id !== '';

const key = (ids: Ids): string => `${ids.trace_id}:${ids.span_id}`;

/** Joins beginnings with their ends, whichever comes first. Of both it keeps the last so many. */
export class Beginnings {
  /** Numbers of rows whose span has not arrived. */
  #open = new Map<string, number>();
  /** Spans whose beginning, if there was one, has not arrived. */
  #early = new Map<string, Ended>();
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** A request began, in row `n`; how it ended, when its span was here first. */
  begin(ids: Ids, n: number): Ended | null {
    const ended = this.#early.get(key(ids));
    if (ended) {
      this.#early.delete(key(ids));
      return ended;
    }
    this.#keep(this.#open, key(ids), n);
    return null;
  }

  /** A span arrived; the row of its beginning, when that is here and open. */
  end(ids: Ids, ended: Ended): number | null {
    const n = this.#open.get(key(ids));
    if (n === undefined) {
      this.#keep(this.#early, key(ids), ended);
      return null;
    }
    this.#open.delete(key(ids));
    return n;
  }

  clear(): void {
    this.#open.clear();
    this.#early.clear();
  }

  #keep<T>(map: Map<string, T>, name: string, value: T): void {
    map.set(name, value);
    if (map.size > this.capacity) {
      // A Map remembers the order: the first is the oldest.
      const oldest = map.keys().next().value;
      if (oldest !== undefined) map.delete(oldest);
    }
  }
}
