// Every screen in both themes as a picture, for people who review how it looks: `cargo xtask shots`.
// Usage: node shots.mjs FOLDER [NAME...]: only those that are reached by their address and have one of these names. The demo
// runs long enough that charts have something to show.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browser, demo, eventually, open, serve, settled } from './harness.mjs';

const [folder, ...only] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node shots.mjs FOLDER [NAME...]');
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const chrome = await browser();
const server = await demo();
const empty = await serve();
try {
  await eventually('orders are placed', async () => (await server.json('/api/v1/query', { query: 'sum(orders_placed_total) > 300' })).result.length > 0, 90_000);
  // The deploy that brings the fault.
  await server.post('/api/v1/slo/annotations', { kind: 'deploy', service: 'order-service', text: 'v42', by: 'ci' });
  await server.fault('payment-errors', true);
  if (only.length === 0 || only.includes('recovered')) {
    // A first incident that is over when the others are looked at.
    await server.firing('HighErrorRate');
    const { page, goto, close } = await open(chrome, server, { theme: 'dark' });
    await goto('/alerts');
    await page.locator('[data-firing]', { hasText: 'HighErrorRate' }).first().click();
    await page.locator('[data-recovery=wrong]').waitFor();
    await server.post('/api/v1/slo/annotations', { kind: 'deploy', service: 'payment-service', text: 'v18', by: 'ci' });
    await server.fault('payment-errors', false);
    for (const theme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme: theme });
      await page.locator('[data-recovery=recovered]').waitFor({ timeout: 240_000 });
      await settled(page);
      await page.waitForTimeout(600);
      await page.screenshot({ path: join(folder, `recovered-${theme}.png`), animations: 'disabled' });
      console.log(`recovered-${theme}.png`);
    }
    await close();
    await server.fault('payment-errors', true);
  }
  const alert = await server.firing('HighErrorRate');
  // A while of firing, so that the chart has both sides of the threshold.
  await new Promise((done) => setTimeout(done, 15_000));
  const { logs } = await server.json('/api/v1/logs', { filter: 'level>=error service.name=payment-service', limit: '20' });
  const log = logs.find((l) => l.trace_id);
  const { traces } = await server.json('/api/v1/traces', { filter: 'status=error', limit: '20' });
  const trace = traces.reduce((a, b) => (b.spans > a.spans ? b : a));
  const columns = await server.json(`/api/v1/traces/${trace.trace_id}`);
  const failed = columns.spans.id[columns.spans.status.lastIndexOf(2)];

  const shots = [
    ['overview', server, '/?t=5m', '[data-firing]'],
    ['alerts', server, '/alerts?t=5m', '[data-firing]'],
    ['rule', server, '/alerts/HighErrorRate?t=5m', '[data-answer]'],
    ['logs', server, '/logs?t=5m', '[role=grid] [role=row]'],
    ['logs-record', server, `/logs?t=5m&q=level%3E%3Derror&sel=${log.id}`, 'main aside'],
    ['logs-wrong-filter', server, '/logs?t=5m&q=level%3E%3Derrror', '#filter-error'],
    ['logs-empty', server, '/logs?t=5m&q=nosuchword', 'main strong'],
    ['traces', server, '/traces?t=5m&sort=slowest', '[role=grid] [role=row]'],
    ['trace', server, `/traces/${trace.trace_id}?t=5m`, '[role=treegrid]'],
    ['trace-span', server, `/traces/${trace.trace_id}?t=5m&sel=${failed}`, 'main aside'],
    ['service', server, '/services/order-service?t=2m', '[data-chart="Connection pools in use"] canvas'],
    ['service-failing', server, '/services/payment-service?t=2m', '[data-chart=Errors] canvas'],
    ['service-unheard', server, '/services/basket-service?t=5m', 'main strong'],
    ['metrics-finder', server, '/explore?t=5m', '#finder-title'],
    ['metrics', server, `/explore?t=2m&expr=${encodeURIComponent('sum by (job, endpoint) (rate(http_requests_total{job!="skopos"}[1m]))')}`, '[data-expression] canvas'],
    ['slos', server, '/slos', '[data-slo]'],
    ['slo', server, '/slos/order-availability', '[data-chart=Budget] canvas'],
    ['slo-zoomed', server, '/slos/order-availability?t=5m', '[data-chart=Budget] canvas'],
    ['slos-none', empty, '/slos', 'pre'],
    ['welcome', empty, '/welcome', 'pre'],
  ].filter(([name]) => only.length === 0 || only.includes(name));
  for (const theme of ['dark', 'light']) {
    const shot = async (page, name) => {
      await settled(page);
      // Counts and completions that come a moment later.
      await page.waitForTimeout(600);
      await page.screenshot({ path: join(folder, `${name}-${theme}.png`), animations: 'disabled' });
      console.log(`${name}-${theme}.png`);
    };
    for (const [name, from, path, sign] of shots) {
      const { page, goto, close } = await open(chrome, from, { theme, expected: [/400/] });
      await goto(path);
      await page.locator(sign).first().waitFor();
      await shot(page, name);
      await close();
    }
    if (only.length > 0) continue;
    const { page, goto, close } = await open(chrome, server, { theme });
    await goto('/alerts');
    await page.locator('[data-firing]', { hasText: alert.labels.alertname }).first().click();
    await page.locator('figure canvas').waitFor();
    await shot(page, 'firing');
    // Taken on in the first theme, so that both states are shown.
    if (theme === 'dark') {
      await page.locator('[data-ack]:enabled').click();
      await page.getByLabel('Who').fill('ada');
      await page.getByLabel('Comment').fill('the payment provider refuses cards');
      await shot(page, 'acknowledge');
      await page.keyboard.press('Enter');
      await page.locator('[data-acknowledged]').waitFor();
      await shot(page, 'acknowledged');
    } else {
      await page.keyboard.press('s');
      await page.getByLabel('Who').fill('ada');
      await page.getByLabel('Comment').fill('the provider is being mended');
      await shot(page, 'silence');
      await page.keyboard.press('Escape');
    }
    await page.locator('main [data-link=logs]').click();
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await shot(page, 'incident-logs');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await shot(page, 'keys');
    await page.keyboard.press('Escape');
    await goto('/live');
    await page.getByText('● live').waitFor();
    await page.waitForTimeout(2500);
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await page.locator('.bar').click({ position: { x: 20, y: 4 } });
    await page.keyboard.press(' ');
    await page.waitForTimeout(900);
    await shot(page, 'live');
    await close();
  }
} finally {
  await chrome.close();
  await server.stop();
  await empty.stop();
}
