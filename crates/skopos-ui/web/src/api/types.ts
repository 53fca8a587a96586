// The shapes of answers that the OpenAPI document leaves open. Times are as the server writes them.

export type Attributes = Record<string, unknown>;

export interface LogRecord {
  id: string;
  time: string;
  time_unix_nano: string;
  observed_time?: string;
  severity_number: number;
  severity: string;
  severity_text: string;
  service: string;
  body: unknown;
  attributes: Attributes;
  resource: Attributes;
  scope: { name: string; version: string };
  trace_id: string;
  span_id: string;
  event_name: string;
}

export interface LogPage {
  logs: LogRecord[];
  next_cursor?: string | null;
}

export interface LogContext {
  before: LogRecord[];
  record: LogRecord;
  after: LogRecord[];
}

export interface Histogram {
  /** Unix seconds. */
  start: number;
  /** Seconds. */
  step: number;
  buckets: number;
  series: { severity: string; counts: number[] }[];
  total: number;
}

export interface Facet {
  field: string;
  values: { value: string; count: number }[];
  other: number;
  missing: number;
}

export interface Facets {
  total: number;
  facets: Facet[];
}

export interface TraceSummary {
  trace_id: string;
  root_service: string;
  root_name: string;
  start: string;
  start_unix_nano: string;
  duration_ns: number;
  spans: number;
  errors: number;
  matched: number;
  services: { service: string; spans: number; errors: number }[];
}

export interface TracePage {
  traces: TraceSummary[];
  next_cursor?: string | null;
}

/** A trace as columns: one entry per span, depth first, children by start. */
export interface TraceColumns {
  trace_id: string;
  start_unix_nano: string;
  duration_ns: number;
  services: string[];
  names: string[];
  spans: {
    id: string[];
    parent: number[];
    service: number[];
    name: number[];
    kind: string[];
    start_ns: number[];
    duration_ns: number[];
    status: number[];
    events: number[];
    links: number[];
    logs: number[];
  };
  logs: number;
}

export interface SpanEvent {
  name: string;
  time?: string;
  time_unix_nano?: string;
  attributes: Attributes;
}

export interface SpanDetail {
  trace_id: string;
  span_id: string;
  parent_span_id: string;
  name: string;
  service: string;
  kind: string;
  status: number | string | { code: number | string; message?: string };
  status_message?: string;
  start_unix_nano: string;
  duration_ns: number;
  attributes: Attributes;
  resource: Attributes;
  scope?: { name: string; version: string };
  events: SpanEvent[];
  links: { trace_id: string; span_id: string; attributes: Attributes }[];
}

export interface TailSpan {
  id: string;
  trace_id: string;
  span_id: string;
  parent_span_id: string;
  service: string;
  name: string;
  kind: string;
  status: number | string;
  start_unix_nano: string;
  duration_ns: number;
  attributes: Attributes;
}

export type TailLine =
  | { log: LogRecord }
  | { span: TailSpan }
  | { skipped: number; reason: string }
  | { heartbeat: true; per_second?: number };

export interface Completion {
  replace: { start: number; end: number };
  items: { text: string; label: string; kind: string; count: number | null }[];
}

export type Labels = Record<string, string>;

export interface VectorSample {
  metric: Labels;
  value: [number, string];
}

export interface MatrixSeries {
  metric: Labels;
  values: [number, string][];
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: 'pending' | 'firing' | 'inactive';
  activeAt: string;
  value: string;
  keepFiringSince?: string;
  heldUntil?: string;
}

export interface AlertingRule {
  name: string;
  query: string;
  labels: Labels;
  annotations: Labels;
  health: string;
  lastError?: string;
  state: 'inactive' | 'pending' | 'firing';
  duration: number;
  keepFiringFor: number;
  alerts: Alert[];
  type: 'alerting';
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  rules: AlertingRule[];
}
