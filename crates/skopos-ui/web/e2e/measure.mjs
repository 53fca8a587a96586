// How fast the waterfall is with many spans: prints figures, asserts nothing, is run by hand.
// Usage: SKOPOS_BIN=target/debug/skopos node measure.mjs [SPANS]
import { browser, open, serve, settled } from './harness.mjs';

const count = Number(process.argv[2] ?? 10_000);
const hex = (n, length) => n.toString(16).padStart(length, '0');
const TRACE = 'fe'.repeat(16);
const server = await serve();
const chrome = await browser();
try {
  const begin = BigInt(Date.now() - 60_000) * 1_000_000n;
  for (let from = 0; from < count; from += 5000) {
    const spans = Array.from({ length: Math.min(5000, count - from) }, (_, k) => {
      const i = from + k;
      const start = begin + BigInt(i) * 1000n;
      return {
        traceId: TRACE, spanId: hex(i + 1, 16), parentSpanId: i === 0 ? '' : hex(Math.floor((i - 1) / 3) + 1, 16), name: `operation ${i % 40}`,
        kind: 1, startTimeUnixNano: String(start), endTimeUnixNano: String(start + BigInt(count - i) * 900n), status: i % 97 === 0 ? { code: 2 } : {},
      };
    });
    await server.otlp('traces', { resourceSpans: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: `service-${from % 7}` } }] }, scopeSpans: [{ spans }] }] });
  }
  const { page, goto, close } = await open(chrome, server);
  const began = Date.now();
  await goto(`/traces/${TRACE}`);
  await page.getByRole('treegrid').waitFor();
  await settled(page);
  const opened = Date.now() - began;
  await page.getByRole('treegrid').focus();
  const figures = await page.evaluate(async () => {
    const grid = document.querySelector('[role=treegrid]');
    const key = (name) => grid.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
    const took = [];
    for (let i = 0; i < 120; i += 1) {
      const start = performance.now();
      // Each third scrolls, zooms, pans; effects run in the microtasks after, so a frame's whole script time counts.
      if (i % 3 === 0) key('PageDown');
      else if (i % 3 === 1) key(i % 2 ? 'w' : 's');
      else key('d');
      await Promise.resolve();
      await new Promise((done) => queueMicrotask(done));
      took.push(performance.now() - start);
      await new Promise((done) => requestAnimationFrame(done));
    }
    took.sort((a, b) => a - b);
    return { p50: took[60], p95: took[114], max: took[119], rows: grid.querySelectorAll('[role=row]').length, count: grid.getAttribute('aria-rowcount') };
  });
  console.log(`${figures.count} spans: open ${opened} ms; a step (scroll, zoom, pan) p50 ${figures.p50.toFixed(1)} ms, p95 ${figures.p95.toFixed(1)} ms, max ${figures.max.toFixed(1)} ms; ${figures.rows} rows in the page`);
  await close();
} finally {
  await chrome.close();
  await server.stop();
}
