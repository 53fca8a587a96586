// The product as a person meets it: from the alert to the failing span without typing, by mouse and by keys, with axe
// looking at every screen in both themes, and with stored data that would like to be code.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { accessible, browser, demo, eventually, figures, open, serve, settled, token } from './harness.mjs';
import { MARK, RULES, send, SPAN, TRACE } from './hostile.mjs';

let chrome;
before(async () => {
  chrome = await browser();
});
after(() => chrome?.close());

describe('on the demo’s data', () => {
  let server;
  before(async () => {
    server = await demo();
    await eventually('orders are placed', async () => (await server.json('/api/v1/query', { query: 'sum(orders_placed_total) > 30' })).result.length > 0, 60_000);
    await server.fault('payment-errors', true);
    await server.firing('HighErrorRate');
    await eventually('an error log with a trace', async () => (await server.json('/api/v1/logs', { filter: 'level>=error', limit: '5' })).logs.some((log) => log.trace_id));
  });
  after(() => server?.stop());

  it('alert → logs → trace → failing span takes five clicks and no typing', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/');
    let clicks = 0;
    const click = async (locator) => {
      clicks += 1;
      await locator.click();
    };
    await click(page.locator('[data-firing]', { hasText: 'HighErrorRate' }).first());
    await page.getByRole('heading', { name: 'HighErrorRate' }).waitFor();
    await page.locator('[data-recovery=wrong]').waitFor();
    const logs = page.locator('main [data-link=logs]');
    assert.match(await logs.innerText(), /all [\d,]+ of the window/);
    await click(logs);
    await page.waitForURL(/\/logs\?/);
    const url = new URL(page.url());
    assert.match(url.searchParams.get('t') ?? '', /^\d+\.\.\d+$/, 'the window goes along');
    assert.equal(url.searchParams.get('q'), 'level>=error', 'the scope goes along');
    assert.match(url.searchParams.get('inc') ?? '', /^HighErrorRate\//, 'the incident goes along');
    const row = page.locator('[role=grid] [role=row]').filter({ has: page.locator('a.trace') }).first();
    assert.match(await row.innerText(), /ERROR/);
    await click(row.locator('.body'));
    await click(page.locator('[data-trace]'));
    await page.waitForURL(/\/traces\/[0-9a-f]{32}/);
    // The span that wrote the record is selected; the failing one is a click away.
    await page.locator('[role=row][aria-selected=true]').waitFor();
    await click(page.getByRole('row').filter({ hasText: 'payment-service' }).filter({ hasText: '✖' }).first());
    await page.getByText('✖ error').first().waitFor();
    assert.ok(await page.getByLabel('Incident', { exact: true }).isVisible(), 'the incident bar is still there');
    assert.ok(clicks <= 5, `${clicks} clicks`);
    // And all the way back.
    for (const pattern of [/\/traces\//, /\/logs\?.*sel=/, /\/logs\?/, /\/alerts\//, /\/$/]) {
      await page.goBack();
      await page.waitForURL(pattern);
    }
    await page.locator('[data-firing]').first().waitFor();
    await close();
  });

  it('the metric is seen to recover where the alert is, and later found again', async () => {
    const { page, goto, close } = await open(chrome, server);
    await server.post('/api/v1/slo/annotations', { kind: 'deploy', service: 'order-service', text: 'v42, mended', by: 'ci' });
    await goto('/');
    await page.locator('[data-firing]', { hasText: 'HighErrorRate' }).first().click();
    const panel = page.locator('[data-recovery]');
    const sentence = panel.locator('[data-sentence]');
    await sentence.waitFor();
    // No request failed before: that is 0, and not unknown.
    assert.match(await sentence.innerText(), /^Not recovered: [\d.]+%, above 1% for .+, since [\d:]+; 0% before the incident\.$/);
    const incident = new URL(page.url()).pathname;
    await server.fault('payment-errors', false);
    // The page stands open all the while, and follows by itself.
    // At most until the last failure has left the five minutes over which the rule looks; mostly within one.
    await page.locator('[data-recovery=holding]').waitFor({ timeout: 330_000 });
    assert.match(await sentence.innerText(), /^Recovering: 0?[\d.]+%, below 1% for .+, since .+; 0% before the incident\. It counts as recovered after 30s\.$/);
    await page.getByText('✔ over, lasted').waitFor();
    await panel.locator('[data-note=deploy]', { hasText: 'v42, mended' }).waitFor();
    assert.match((await panel.getByLabel('What is marked').innerText()).replace(/\s+/g, ' '), /pending firing .*deploy v42, mended/);
    // It holds for half a minute first.
    await page.locator('[data-recovery=recovered]').waitFor({ timeout: 120_000 });
    assert.match(await sentence.innerText(), /^Recovered: [\d.]+%, below 1% for .+, since .+ the incident\.$/);
    assert.match((await panel.locator('dl').innerText()).replace(/\s+/g, ' '), /Before 0% Worst, [\d:]+ [\d.]+% Now [\d.]+% Threshold > 1%/);
    // What has not recovered is said too: the budget that was spent does not come back with the service.
    await panel.getByLabel('What is still wrong').getByRole('link', { name: 'still firing' }).first().waitFor();
    await panel.getByText('no ERROR record').or(panel.getByText(/ERROR records? since/)).first().waitFor();
    await panel.locator('canvas').waitFor();
    await accessible(page, 'recovered');
    // From somewhere else, by a key: the incident is pinned.
    await page.keyboard.press('g');
    await page.keyboard.press('l');
    await page.waitForURL(/\/logs/);
    await page.keyboard.press('v');
    await page.waitForURL((url) => url.pathname === incident);
    // And by somebody who comes later, from the list of what is over.
    await goto('/alerts');
    const over = page.locator('[data-over]').getByRole('row', { name: /HighErrorRate.*nobody/ });
    await accessible(page, 'alerts, one over');
    await over.getByRole('link', { name: /^Verify the recovery of HighErrorRate/ }).click();
    await page.waitForURL((url) => url.pathname === incident);
    await page.locator('[data-recovery=recovered]').waitFor();
    await goto('/alerts/HighErrorRate');
    await page.locator('[data-answer]', { hasText: /^It does not fire: .* is 0\.\d+ and not > 0\.01\.$/ }).waitFor();
    await page.locator('[data-over] [data-incident]').first().waitFor();
    await accessible(page, 'a rule');
    // It breaks again: the incident that is over stays what it was, and says so.
    await server.fault('payment-errors', true);
    await server.firing('HighErrorRate');
    await goto(incident);
    await page.getByText('It is active again since').waitFor();
    await page.locator('[data-recovery=again]').waitFor();
    await close();
  });

  it('keys alone lead from the alert to the budget', async () => {
    const { page, goto, close } = await open(chrome, server);
    const press = async (...keys) => {
      for (const key of keys) await page.keyboard.press(key);
    };
    const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '');
    const tabTo = async (text) => {
      for (let i = 0; i < 25; i += 1) {
        if (await page.evaluate((wanted) => document.activeElement?.tagName === 'A' && document.activeElement.textContent === wanted, text)) return;
        await press('Tab');
      }
      assert.fail(`25 times Tab does not reach ${text}`);
    };
    await goto('/');
    await page.locator('[data-firing]').first().waitFor();
    await eventually('the alert has the focus', async () => {
      await press('j');
      return (await focused()).includes('HighErrorRate');
    });
    await press('Enter');
    await page.locator('[data-sentence]').waitFor();
    await page.locator('main [data-link=logs]').waitFor();
    await press('j', 'Enter');
    await page.waitForURL(/\/logs\?/);
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await press('j', 'j', 'Enter');
    await page.waitForURL(/sel=/);
    await page.locator('[data-trace]').waitFor();
    await press('Tab');
    assert.match(await focused(), /Open trace/, 'a list is one stop');
    await press('Enter');
    await page.waitForURL(/\/traces\/[0-9a-f]{32}/);
    await page.getByRole('treegrid').waitFor();
    await press('j', 'Home', 'Enter');
    await page.locator('aside [data-service]', { hasText: 'order-service' }).waitFor();
    await tabTo('Service order-service');
    await press('Enter');
    await page.waitForURL(/\/services\/order-service/);
    await page.locator('[data-service-page] [data-slo]').first().waitFor();
    for (let i = 0; i < 25 && !(await page.evaluate(() => document.activeElement?.matches('[data-slo]'))); i += 1) await press('j');
    await press('Enter');
    await page.waitForURL(/\/slos\/order-availability/);
    await page.getByRole('heading', { name: 'order-availability', level: 1 }).waitFor();
    await close();
  });

  it('keys alone lead as far', async () => {
    const { page, goto, close } = await open(chrome, server);
    const press = async (...keys) => {
      for (const key of keys) await page.keyboard.press(key);
    };
    await goto('/');
    await page.locator('[data-firing]').first().waitFor();
    await press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await press('Escape');
    await press('g', 'l');
    await page.waitForURL(/\/logs/);
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await press('/');
    await page.keyboard.type('level>=error');
    await press('Enter');
    await page.waitForURL(/q=level/);
    await press('Escape');
    await page.getByRole('grid', { name: 'Log records' }).focus();
    await press('j', 'j', 'Enter');
    await page.waitForURL(/sel=/);
    await page.getByRole('link', { name: 'Open trace' }).focus();
    await press('Enter');
    await page.waitForURL(/\/traces\//);
    await page.getByRole('treegrid').focus();
    await press('Home', 'w', 'w', 'd');
    await page.waitForURL(/z=\d+\.\.\d+/);
    await press('0', 'End', 'Enter');
    await page.waitForURL(/sel=/);
    const rows = Number(await page.getByRole('treegrid').getAttribute('aria-rowcount'));
    await press('Home', 'ArrowLeft');
    await page.waitForFunction((n) => Number(document.querySelector('[role=treegrid]').getAttribute('aria-rowcount')) < n, rows);
    await press('g', 'a');
    await page.waitForURL(/\/alerts/);
    await press('Control+k');
    await page.getByRole('combobox', { name: /Screen, rule/ }).waitFor();
    await page.keyboard.type('live');
    await press('Enter');
    await page.waitForURL(/\/live/);
    await page.getByText('● live').waitFor();
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await press(' ');
    await page.getByText('❚❚ paused').waitFor();
    await press(' ');
    await page.getByText('❚❚ paused').waitFor({ state: 'detached' });
    await close();
  });

  it('a service’s page is reached from the overview by keys, and leads on', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/?t=5m');
    await page.locator('[data-service]', { hasText: 'order-service' }).waitFor();
    // Down the list until it is the one.
    await eventually('order-service has the focus', async () => {
      await page.keyboard.press('j');
      return page.evaluate(() => document.activeElement?.textContent === 'order-service');
    });
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/services\/order-service\?t=5m/);
    const seen = await figures(page, ['Latency', 'Traffic by endpoint', 'Errors', 'Connection pools in use']);
    // Failures are timed apart: a fast 502 is no fast answer.
    assert.match(seen.Latency, /p99 [\d.]+m?s .*p99 failed [\d.]+m?s/);
    assert.match(seen['Traffic by endpoint'], /POST \/orders [\d.]+\/s/);
    const calls = page.getByRole('region', { name: /Depends on/ });
    await calls.getByRole('link', { name: 'payment-service', exact: true }).waitFor();
    await page.getByRole('region', { name: /Top errors/ }).getByText('call failed').waitFor();
    await page.locator('[data-chart=Errors] .u-over').scrollIntoViewIfNeeded();
    const box = await page.locator('[data-chart=Errors] .u-over').boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.98, box.y + 30, { steps: 4 });
    await page.mouse.up();
    const logs = page.getByRole('group', { name: 'What to do with the chosen time' }).getByRole('link', { name: /^Logs [\d,]+$/ });
    await logs.click();
    await page.waitForURL(/\/logs\?t=\d+\.\.\d+&q=service\.name/);
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await page.locator('[role=grid] [role=row] .body').first().click();
    await page.locator('aside [data-service]').click();
    await page.waitForURL(/\/services\/order-service/);
    await page.keyboard.press('Control+k');
    await page.keyboard.type('payment-service');
    await page.getByRole('option', { name: /payment-service service/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/services\/payment-service/);
    await page.getByRole('heading', { name: 'payment-service', level: 1 }).waitFor();
    await close();
  });

  it('a mistyped filter says where and what', async () => {
    const { page, goto, close } = await open(chrome, server, { expected: [/400/] });
    await goto('/logs?q=level%3E%3D');
    await page.locator('#filter-error u').waitFor();
    assert.equal(await page.getByRole('combobox', { name: 'Filter' }).getAttribute('aria-invalid'), 'true');
    await close();
  });

  it('on a phone no screen is wider than the phone', async () => {
    const { page, goto, close } = await open(chrome, server, { width: 390, height: 800 });
    const { logs } = await server.json('/api/v1/logs', { filter: 'level>=error', limit: '20' });
    const log = logs.find((l) => l.trace_id);
    await server.firing('HighErrorRate');
    await goto('/alerts');
    await page.locator('[data-firing]', { hasText: 'HighErrorRate' }).first().click();
    await page.locator('[data-sentence]').waitFor();
    const incident = new URL(page.url()).pathname;
    for (const path of ['/', '/alerts', '/alerts/HighErrorRate', incident, '/services/order-service?t=5m', '/explore?t=5m&expr=up', '/logs', `/logs?sel=${log.id}`, '/traces', `/traces/${log.trace_id}`, '/live', '/welcome']) {
      await goto(path);
      await settled(page);
      const { wide, main, room } = await page.evaluate(() => {
        const main = document.querySelector('main');
        return { wide: document.documentElement.scrollWidth, main: main.scrollWidth, room: main.clientWidth };
      });
      assert.ok(wide <= 390 && main <= room, `${path}: ${wide} of 390, ${main} of ${room}`);
    }
    await close();
  });

  for (const theme of ['dark', 'light']) {
    it(`every screen is accessible, ${theme}`, async () => {
      const { page, goto, close } = await open(chrome, server, { theme });
      const alert = await server.firing('HighErrorRate');
      const { logs } = await server.json('/api/v1/logs', { filter: 'level>=error', limit: '20' });
      const log = logs.find((l) => l.trace_id);
      await goto('/alerts');
      await accessible(page, 'alerts');
      await page.locator('[data-firing]', { hasText: alert.labels.alertname }).first().click();
      await page.locator('figure canvas').waitFor();
      await accessible(page, 'firing');
      for (const [path, sign] of [
        ['/', '[data-firing]'], ['/welcome', 'pre'], ['/logs', '[role=grid] [role=row]'], [`/logs?sel=${log.id}`, 'main aside'],
        ['/traces', '[role=grid] [role=row]'], [`/traces/${log.trace_id}?sel=${log.span_id}`, 'main aside'], ['/nowhere', 'strong'],
        ['/explore?t=5m', '#finder-title'], ['/explore?t=5m&expr=up', '[data-expression] canvas'],
        ['/services/order-service?t=5m', '[data-chart=Latency] canvas'],
      ]) {
        await goto(path);
        await page.locator(sign).first().waitFor();
        await accessible(page, path);
      }
      await goto('/live');
      await page.locator('[role=grid] [role=row]').first().waitFor();
      await page.keyboard.press(' ');
      await accessible(page, 'live, paused');
      await close();
    });
  }
});

describe('hostile data', () => {
  let server;
  before(async () => {
    server = await serve({ rules: RULES });
    await send(server);
    await server.json('/api/v1/alerts');
    await eventually('the alert fires', async () => (await server.json('/api/v1/alerts')).alerts.some((alert) => alert.state === 'firing'));
  });
  after(() => server?.stop());

  it('stays text wherever it is shown', async () => {
    const { page, goto, close } = await open(chrome, server);
    const inert = async (where) => {
      await settled(page);
      const found = await page.evaluate(() => ({
        pwned: globalThis.pwned,
        elements: [...document.querySelectorAll('img, script:not([src]), [onerror], [onload], iframe, a[href^="javascript" i]')].map((e) => e.outerHTML),
      }));
      assert.deepEqual(found, { pwned: undefined, elements: [] }, where);
      // It is there, as text: the test would otherwise prove nothing.
      assert.ok((await page.locator('body').innerText()).includes('<img src=x onerror='), `${where} shows the text`);
    };
    await goto('/');
    await page.locator('[data-firing]').first().waitFor();
    await inert('overview');
    await page.locator('[data-firing]').first().click();
    await page.getByRole('heading', { name: 'Hostile' }).waitFor();
    await page.locator('main [data-link=logs]').waitFor();
    await inert('firing');
    await goto('/alerts');
    await inert('alerts');
    await goto('/alerts/Hostile');
    await page.locator('[data-answer]').waitFor();
    await inert('rule');
    await goto('/logs');
    await page.locator('[role=grid] [role=row]').first().click({ position: { x: 300, y: 10 } });
    await page.getByText('Around it').waitFor();
    await inert('logs');
    await goto('/traces');
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await inert('traces');
    await goto(`/traces/${TRACE}?sel=${SPAN}`);
    await page.getByText('Events').waitFor();
    await inert('trace');
    await goto(`/services/${encodeURIComponent(`shop${MARK}`)}`);
    await page.getByRole('region', { name: /Top errors/ }).getByRole('listitem').first().waitFor();
    await inert('service');
    await goto('/explore?expr=hostile_errors');
    await page.getByRole('row', { name: /hostile_errors/ }).waitFor();
    await inert('metrics');
    await goto('/live');
    await page.getByText('● live').waitFor();
    await send(server);
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await inert('live');
    await goto(`/logs?q=${encodeURIComponent(`user="${MARK.replaceAll('"', '\\"')}"`)}`);
    await settled(page);
    await inert('filter');
    await close();
  });
});

describe('the first visit', () => {
  it('an empty server welcomes, and shows what arrives', async () => {
    const server = await serve();
    const { page, goto, close } = await open(chrome, server);
    await goto('/');
    await page.getByRole('heading', { name: 'Skopos is listening' }).waitFor();
    assert.ok((await page.locator('pre').innerText()).includes('/v1/logs'));
    await page.getByText('Logs: waiting for the first').waitFor();
    await send(server);
    await page.getByRole('link', { name: 'Logs have arrived' }).click();
    await page.locator('[role=grid] [role=row]').first().waitFor();
    await close();
    await server.stop();
  });

  it('a server with tokens asks for one, and shows nothing before', async () => {
    const { text, entry } = token('page', 'read');
    const server = await serve({ env: { SKOPOS__AUTH__TOKENS: entry } });
    const { page, goto, close } = await open(chrome, server, { expected: [/401/] });
    await goto('/alerts');
    const prompt = page.getByRole('dialog', { name: 'This server wants a token' });
    await prompt.waitFor();
    await prompt.getByLabel('Token').fill('wrong');
    await page.keyboard.press('Enter');
    await prompt.getByText('is not accepted').waitFor();
    await prompt.getByLabel('Token').fill(text);
    await page.keyboard.press('Enter');
    await page.getByText('No alert rules are loaded').waitFor();
    assert.ok(!page.url().includes(text));
    await close();
    await server.stop();
  });
});
