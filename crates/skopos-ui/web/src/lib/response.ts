// Who answers an alert, by when, and what became of its notifications. What is read here is what the server keeps.

import type { Labels } from '../api/types';

export interface Acknowledged {
  by: string;
  comment: string;
  at: string;
  response_seconds: number;
}

/** A firing alert as `/api/v1/skopos/alerts` has it. */
export interface Firing {
  fingerprint: string;
  labels: Labels;
  starts_at: string;
  severity: string | null;
  receivers: string[];
  inhibited_by: string[];
  silenced_by: string[];
  muted_by: string[];
  respond_by: string | null;
  overdue: boolean;
  acknowledged: Acknowledged | null;
}

export interface Silence {
  id: string;
  status: { state: 'active' | 'pending' | 'expired' };
  createdBy: string;
  comment: string;
  startsAt: string;
  endsAt: string;
  matchers: { name: string; value: string; isRegex: boolean; isEqual: boolean }[];
}

/** A notification that waits, is settled, or is given up. */
export interface Notification {
  id: string;
  /** The key of the group: `{route}:{group labels}`. */
  group: string;
  receiver: string;
  integration: number;
  created_at: string;
  attempts: number;
  reason: string;
  settled_at?: string;
  verdict?: string;
  failed_at?: string;
  status?: string;
}

export interface Deliveries {
  deliveries: Notification[];
  waiting: Notification[];
}

/** Until when somebody must respond, in words: by severity, as the guide has it. */
export function target(severity: string | null): string {
  switch (severity) {
    case 'P1': return 'P1: now, within 5 minutes';
    case 'P2': return 'P2: within 30 minutes';
    case 'P3': return 'P3: by the end of the next business day';
    default: return severity === null ? 'no severity: nobody is held to a time' : `${severity}: no time is set`;
  }
}

/** The labels of the alert that name it: what a silence of exactly this alert must match. */
export function matchersOf(labels: Labels): Silence['matchers'] {
  return Object.entries(labels)
    .filter(([, value]) => value !== '')
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, value]) => ({ name, value, isRegex: false, isEqual: true }));
}

export function matcherText({ name, value, isRegex, isEqual }: Silence['matchers'][number]): string {
  return `${name}${isEqual ? '=' : '!'}${isRegex ? '~' : isEqual ? '' : '='}"${value}"`;
}

/** The labels that a group's key ends in: `{}/{severity="P1"}:{alertname="x"}` has `alertname`. Null when it ends in none. */
export function groupLabels(key: string): Labels | null {
  // The last `:{` outside quotes: matchers and values may hold one too.
  let quote = false;
  let start = -1;
  for (let i = 0; i < key.length; i += 1) {
    const c = key[i];
    if (quote && c === '\\') i += 1;
    else if (c === '"') quote = !quote;
    else if (!quote && c === ':' && key[i + 1] === '{') start = i + 2;
  }
  if (start < 0 || !key.endsWith('}')) return null;
  const labels: Labels = {};
  const pair = /\s*(?:"((?:[^"\\]|\\.)*)"|([^=\s"]+?))\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y;
  const inside = key.slice(start, -1);
  while (pair.lastIndex < inside.length) {
    const found = pair.exec(inside);
    if (!found) return null;
    labels[plain(found[1] ?? found[2]!)] = plain(found[3]!);
  }
  return labels;
}

function plain(text: string): string {
  return text.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c === 't' ? '\t' : c));
}

export interface Told {
  receiver: string;
  state: 'delivered' | 'waiting' | 'dead' | 'dropped';
  at: number;
  attempts: number;
  reason: string;
  id: string;
}

/** Those of one receiver with the same fate and reason as one, the newest, with their number. */
export function together(told: Told[]): (Told & { count: number })[] {
  const groups = new Map<string, Told & { count: number }>();
  for (const each of told) {
    const key = JSON.stringify([each.receiver, each.state, each.reason]);
    const known = groups.get(key);
    if (known) known.count += 1;
    else groups.set(key, { ...each, count: 1 });
  }
  return [...groups.values()];
}

/**
 * What became of the notifications that this firing was part of: those of its groups from its beginning (a moment
 * earlier, as clocks go) until a while after its end, when the resolve is told. Newest first.
 */
export function toldOf(
  labels: Labels, start: number, end: number | null, all: { deliveries: Notification[]; waiting: Notification[]; dead: Notification[] },
): Told[] {
  const AFTER_MS = 15 * 60_000;
  const own = (n: Notification): boolean => {
    const at = Date.parse(n.created_at);
    if (at < start - 1000 || (end !== null && at > end + AFTER_MS)) return false;
    const group = groupLabels(n.group);
    return group !== null && Object.entries(group).every(([name, value]) => (labels[name] ?? '') === value);
  };
  const told = (n: Notification, state: Told['state'], at: string): Told =>
    ({ receiver: n.receiver, state, at: Date.parse(at), attempts: n.attempts, reason: n.reason, id: n.id });
  // One that was sent again keeps its id: the newest that is known of it counts.
  const newest = new Map<string, Told>();
  const settled = all.deliveries.filter(own).map((n) =>
    told(n, n.verdict === 'delivered' ? 'delivered' : n.verdict === 'failed' ? 'dead' : 'dropped', n.settled_at ?? n.created_at));
  for (const each of settled.sort((a, b) => a.at - b.at)) newest.set(each.id, each);
  for (const n of all.dead.filter(own)) newest.set(n.id, told(n, 'dead', n.failed_at ?? n.created_at));
  for (const n of all.waiting.filter(own)) newest.set(n.id, told(n, 'waiting', n.created_at));
  return [...newest.values()].sort((a, b) => b.at - a.at || a.receiver.localeCompare(b.receiver));
}

export const TOLD_WORD = { delivered: '✔ delivered', waiting: '◔ waiting', dead: '✖ not delivered', dropped: '· dropped' } as const;
export const TOLD_TONE = { delivered: 'good', waiting: 'warn', dead: 'bad', dropped: 'muted' } as const;
