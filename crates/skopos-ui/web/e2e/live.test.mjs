// The live tail as a developer sees it: a request that has begun is told at once, and settled when its span arrives.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { accessible, browser, open, serve } from './harness.mjs';

const attribute = (key, stringValue) => ({ key, value: { stringValue } });
const resource = { attributes: [attribute('service.name', 'desk')] };
const nano = (ms) => `${BigInt(Math.round(ms)) * 1_000_000n}`;
const trace = 'ab'.repeat(16);

/** What the SDK sends in development when a request begins. */
const began = (server, spanId, name) => server.otlp('logs', { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{
  timeUnixNano: nano(Date.now()), severityNumber: 9, severityText: 'INFO', body: { stringValue: `${name} began` }, eventName: 'skopos.pending',
  attributes: [{ key: 'skopos.pending', value: { boolValue: true } }, attribute('span.name', name)], traceId: trace, spanId,
}] }] }] });

const ended = (server, spanId, name, code) => server.otlp('traces', { resourceSpans: [{ resource, scopeSpans: [{ spans: [
  { traceId: trace, spanId, name, kind: 2, startTimeUnixNano: nano(Date.now() - 123), endTimeUnixNano: nano(Date.now()), status: { code }, attributes: [] },
] }] }] });

let chrome;
let server;
before(async () => {
  chrome = await browser();
  server = await serve();
});
after(async () => {
  await server?.stop();
  await chrome?.close();
});

describe('the live tail', () => {
  it('tells what has begun, and settles it in its place when its span arrives', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/live');
    await page.getByText('● live').waitFor();
    await began(server, 'cd'.repeat(8), 'GET /slow');
    const row = page.locator('[data-begun]', { hasText: 'GET /slow' });
    await row.waitFor();
    assert.equal(await row.getAttribute('data-begun'), 'open');
    assert.match(await row.innerText(), /BEGAN[\s\S]*desk[\s\S]*GET \/slow began/);
    await accessible(page, 'live, begun');

    // Also while the list stands still: the row is the same one.
    await page.getByRole('button', { name: 'Pause' }).click();
    await ended(server, 'cd'.repeat(8), 'GET /slow', 2);
    await page.locator('[data-begun=ended]', { hasText: 'GET /slow' }).waitFor();
    assert.match(await row.innerText(), /✖ BEGAN[\s\S]*12[3-9] ?ms/);
    await accessible(page, 'live, settled');

    // The span may be here first.
    await page.getByRole('button', { name: 'Go on' }).first().click();
    await ended(server, 'ef'.repeat(8), 'GET /quick', 0);
    await page.getByRole('row').filter({ hasText: 'GET /quick' }).first().waitFor();
    await began(server, 'ef'.repeat(8), 'GET /quick');
    await page.locator('[data-begun=ended]', { hasText: 'GET /quick' }).waitFor();
    await close();
  });
});
