// From an incident's reference to its window, scope and counts. One function, so that every screen means the same.

import { get } from '../api/client';
import { alertingRules, alerts, promqlString, range } from '../api/prometheus';
import type { Alert, AlertingRule, Histogram, Labels, TracePage } from '../api/types';
import { fingerprint } from './fingerprint';
import { incidentOf, incidentWindow, logsFilter, serviceOf, tracesFilter } from './alerts';
import { seconds, type Window } from './time';
import type { IncidentRef } from './view';

export interface Phase {
  state: 'pending' | 'firing';
  from: number;
  to: number;
}

export interface IncidentScope {
  labels: Labels;
  service: string;
  state: string;
  /** Null while it goes on. */
  end: number | null;
  window: Window;
  phases: Phase[];
  alert: Alert | null;
  rule: AlertingRule | null;
  group: string;
  interval: number;
  logsFilter: string;
  tracesFilter: string;
  logs: number;
  traces: number;
  moreTraces: boolean;
}

/** How long an incident that is over is searched for in the recorded ALERTS series. */
const SEARCH_MS = 24 * 3_600_000;
/** Counted exactly up to here. */
export const MOST_TRACES = 100;

export async function incidentScope(inc: IncidentRef, signal: AbortSignal): Promise<IncidentScope> {
  const now = Date.now();
  const [active, groups] = await Promise.all([alerts(signal), alertingRules(signal)]);
  const alert = active.find((a) => a.labels.alertname === inc.rule && fingerprint(a.labels) === inc.fingerprint) ?? null;
  // An alert that became active again since is another incident.
  const same = alert !== null && Math.abs(incidentOf(alert).start - inc.start) < 1000;
  const group = groups.find((g) => g.rules.some((r) => r.name === inc.rule));
  const rule = group?.rules.find((r) => r.name === inc.rule) ?? null;
  const interval = (group?.interval ?? 15) * 1000;
  const past = await phasesOf(inc, same ? now : Math.min(now, inc.start + SEARCH_MS), interval, signal);
  const phases = past.phases;
  const labels = (same ? alert.labels : null) ?? past.labels ?? { alertname: inc.rule };
  const end = same ? null : phases.length > 0 ? phases[phases.length - 1]!.to : inc.start;
  const window = incidentWindow(inc.start, end, now);
  const expr = rule?.query ?? '';
  const scope = { logs: logsFilter(labels, expr), traces: tracesFilter(labels, expr) };
  const [logs, traces] = await Promise.all([
    countLogs(scope.logs, window, signal), countTraces(scope.traces, window, signal),
  ]);
  return {
    labels, service: serviceOf(labels), state: same ? alert.state : 'over', end, window, phases,
    alert: same ? alert : null, rule, group: group?.name ?? '', interval,
    logsFilter: scope.logs, tracesFilter: scope.traces, logs, traces: traces.count, moreTraces: traces.more,
  };
}

export async function countLogs(filter: string, window: Window, signal: AbortSignal): Promise<number> {
  const query = { filter: filter || undefined, start: seconds(window.from), end: seconds(window.to), buckets: 1 };
  return (await get<Histogram>('/api/v1/logs/histogram', query, signal)).total;
}

export async function countTraces(filter: string, window: Window, signal: AbortSignal): Promise<{ count: number; more: boolean }> {
  const query = { filter: filter || undefined, start: seconds(window.from), end: seconds(window.to), limit: MOST_TRACES };
  const page = await get<TracePage>('/api/v1/traces', query, signal);
  return { count: page.traces.length, more: Boolean(page.next_cursor) };
}

export interface Counts {
  logs: number;
  errors: number;
  traces: number;
  failed: number;
  moreTraces: boolean;
  moreFailed: boolean;
}

/** How many records and traces a filter finds in a window, and how many of them are wrong. */
export function countSignals(q: string, window: Window, signal: AbortSignal): Promise<Counts> {
  return Promise.all([
    countLogs(q, window, signal), countLogs(`${q} level>=error`, window, signal),
    countTraces(q, window, signal), countTraces(`${q} status=error`, window, signal),
  ]).then(([logs, errors, traces, failed]) => ({ logs, errors, traces: traces.count, moreTraces: traces.more, failed: failed.count, moreFailed: failed.more }));
}

/** When it was pending and firing, from the series that the rule records. */
async function phasesOf(
  inc: IncidentRef, to: number, interval: number, signal: AbortSignal,
): Promise<{ phases: Phase[]; labels: Labels | null }> {
  const window = { from: inc.start - interval, to: Math.max(to, inc.start + interval) };
  const found = await range(`ALERTS{alertname=${promqlString(inc.rule)}}`, window, 600, signal);
  const phases: Phase[] = [];
  let labels: Labels | null = null;
  const step = ((found.times[1] ?? 0) - (found.times[0] ?? 0)) * 1000;
  for (const series of found.series) {
    const { __name__: _name, alertstate, ...rest } = series.labels;
    if (fingerprint(rest) !== inc.fingerprint) continue;
    labels = rest;
    let open: Phase | null = null;
    series.values.forEach((value, i) => {
      const at = found.times[i]! * 1000;
      if (value === null) {
        open = null;
      } else if (open) {
        open.to = at + step;
      } else {
        open = { state: alertstate === 'firing' ? 'firing' : 'pending', from: Math.max(at, inc.start), to: at + step };
        phases.push(open);
      }
    });
  }
  phases.sort((a, b) => a.from - b.from);
  // A second run of the same labels is another incident: cut at the first gap.
  const cut = phases.findIndex((p, i) => i > 0 && p.from > Math.max(...phases.slice(0, i).map((q) => q.to)) + 2 * Math.max(step, interval));
  const own = cut < 0 ? phases : phases.slice(0, cut);
  return { phases: own.map((p) => ({ ...p, to: Math.min(p.to, to) })), labels };
}
