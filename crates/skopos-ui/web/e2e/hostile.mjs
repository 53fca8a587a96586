// Data that would like to be markup: in every place where a sender chooses the text.

export const MARK = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg/onload=window.pwned=1>';

const text = (value) => ({ stringValue: value });
const attribute = (key, value) => ({ key, value: text(value) });
const hex = (byte, length) => byte.repeat(length);
export const TRACE = hex('ab', 16);
export const SPAN = hex('cd', 8);

export const RULES = `
groups:
  - name: hostile
    rules:
      - alert: Hostile
        expr: sum by (shop) (hostile_errors) > 0.5
        labels: { severity: critical, note: ${JSON.stringify(MARK)} }
        annotations:
          summary: ${JSON.stringify(MARK)}
          runbook_url: "javascript:window.pwned=1"
          more: "{{ $labels.shop }}"
`;

/** Sends logs, spans and a metric whose every text is hostile; returns when they were. */
export async function send(server) {
  const now = Date.now();
  const nano = (ms) => `${BigInt(Math.round(ms)) * 1_000_000n}`;
  const resource = { attributes: [attribute('service.name', `shop${MARK}`), attribute('host.name', MARK)] };
  await server.otlp('logs', { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: MARK }, logRecords: Array.from({ length: 40 }, (_, i) => ({
    timeUnixNano: nano(now - i * 500), severityNumber: 17, severityText: MARK, body: text(`${i} ${MARK}`),
    attributes: [attribute('user', MARK), attribute(MARK, 'x')], traceId: TRACE, spanId: SPAN,
  })) }] }] });
  await server.otlp('traces', { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 's' }, spans: [
    { traceId: TRACE, spanId: SPAN, name: `GET ${MARK}`, kind: 2, startTimeUnixNano: nano(now - 900), endTimeUnixNano: nano(now), status: { code: 2, message: MARK }, attributes: [attribute('q', MARK)], events: [{ name: MARK, timeUnixNano: nano(now - 500), attributes: [attribute('exception.message', MARK)] }] },
    { traceId: TRACE, spanId: hex('ce', 8), parentSpanId: SPAN, name: MARK, kind: 3, startTimeUnixNano: nano(now - 700), endTimeUnixNano: nano(now - 100), status: {}, attributes: [] },
  ] }] }] });
  await gauge(server);
  return now;
}

export async function gauge(server) {
  await server.otlp('metrics', { resourceMetrics: [{ resource: { attributes: [attribute('service.name', 'meter')] }, scopeMetrics: [{ metrics: [
    { name: 'hostile_errors', gauge: { dataPoints: [{ timeUnixNano: `${BigInt(Date.now()) * 1_000_000n}`, asDouble: 1, attributes: [attribute('shop', MARK)] }] } },
  ] }] }] });
}
