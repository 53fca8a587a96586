// Acknowledging, silencing, and what became of notifications.

import { get, post, remove } from './client';
import type { Deliveries, Firing, Notification, Silence } from '../lib/response';

export async function firing(signal?: AbortSignal): Promise<Firing[]> {
  return (await get<{ alerts: Firing[] }>('/api/v1/skopos/alerts', {}, signal)).alerts;
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

/** Sends one again, or all; how many. */
export async function retry(id: string | null): Promise<number> {
  return (await post<{ retried: number }>('/api/v1/skopos/notify/dead/retry', id === null ? {} : { id })).retried;
}
