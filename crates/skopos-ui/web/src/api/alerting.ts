// Acknowledging, silencing, and what became of notifications.

import { get, post, remove } from './client';
import type { Labels } from './types';
import { seconds, type Window } from '../lib/time';
import type { Deliveries, Firing, Notification, Silence } from '../lib/response';

export async function firing(signal?: AbortSignal): Promise<Firing[]> {
  return (await get<{ alerts: Firing[] }>('/api/v1/skopos/alerts', {}, signal)).alerts;
}

/** One time that an alert was active. */
export interface Incident {
  labels: Labels;
  fingerprint: string;
  active_at: string;
  /** Null when it never fired. */
  fired_at: string | null;
  /** Null while it goes on. */
  ended_at: string | null;
  acknowledged_at: string | null;
  response_seconds: number | null;
}

/** When alerts were active in a window, newest first; `more` older ones are left out. */
export function history(
  of: { rule?: string; fingerprint?: string; window: Window; limit?: number }, signal?: AbortSignal,
): Promise<{ incidents: Incident[]; more: number }> {
  const query = {
    rule: of.rule || undefined, fingerprint: of.fingerprint, to: seconds(of.window.to), limit: of.limit === undefined ? undefined : String(of.limit),
    since: `${Math.max(1, Math.ceil((of.window.to - of.window.from) / 1000))}s`,
  };
  return get('/api/v1/skopos/alerts/history', query, signal);
}

/** Takes a firing alert on; durable when it answers. */
export async function acknowledge(fingerprint: string, by: string, comment: string): Promise<void> {
  await post('/api/v1/alerts/ack', { fingerprint, by, comment });
}

export function silences(signal?: AbortSignal): Promise<Silence[]> {
  return get<Silence[]>('/api/v2/silences', {}, signal);
}

export async function silence(matchers: Silence['matchers'], ms: number, createdBy: string, comment: string): Promise<string> {
  const now = Date.now();
  const body = { matchers, startsAt: new Date(now).toISOString(), endsAt: new Date(now + ms).toISOString(), createdBy, comment };
  return (await post<{ silenceID: string }>('/api/v2/silences', body)).silenceID;
}

export function endSilence(id: string): Promise<void> {
  return remove('/api/v2/silence/{silence}', { silence: id });
}

export function deliveries(signal?: AbortSignal): Promise<Deliveries> {
  return get<Deliveries>('/api/v1/skopos/deliveries', {}, signal);
}

export async function deadLetters(signal?: AbortSignal): Promise<Notification[]> {
  return (await get<{ dead: Notification[] }>('/api/v1/skopos/notify/dead', {}, signal)).dead;
}

/** Gives some up: nobody will be told of them. How many. */
export async function discard(ids: string[], by: string): Promise<number> {
  return (await post<{ discarded: number }>('/api/v1/skopos/notify/dead/discard', { ids, by })).discarded;
}

/** Sends one again, or all; how many. */
export async function retry(id: string | null): Promise<number> {
  return (await post<{ retried: number }>('/api/v1/skopos/notify/dead/retry', id === null ? {} : { id })).retried;
}
