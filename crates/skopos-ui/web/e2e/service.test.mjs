// A service's page for a service that is only scraped, and how people answer an alert: acknowledging, silencing,
// sending again what reached nobody. On the demo's data, which has spans, the walk looks at the same page.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { receiver, shop } from './app.mjs';
import { accessible, browser, eventually, figures, open, serve, token } from './harness.mjs';

const RULES = `
groups:
- name: shop
  interval: 1s
  rules:
  - alert: PayFails
    expr: sum by (job) (rate(http_requests_total{status_code=~"5.."}[30s])) / sum by (job) (rate(http_requests_total[30s])) > 0.01
    labels: { severity: critical }
    annotations: { summary: "{{ $labels.job }} fails" }
  - alert: PayIsUsed
    expr: sum by (job) (rate(http_requests_total[30s])) > 0
    labels: { severity: info }
`;
const routes = (url) => `
route: { receiver: chat, group_by: [alertname], group_wait: 0s, group_interval: 5m, repeat_interval: 1h }
receivers:
- name: chat
  webhook_configs: [ { url: '${url}' } ]
`;

let chrome;
before(async () => {
  chrome = await browser();
});
after(() => chrome?.close());

describe('a service that is only scraped', () => {
  let app;
  let chat;
  let server;
  before(async () => {
    app = await shop();
    chat = await receiver();
    server = await serve({ rules: RULES, routes: routes(chat.url), args: ['--scrape', `shop=${app.url}/metrics`], env: { SKOPOS__SCRAPE__INTERVAL: '1s' } });
    await eventually('a rate of failures', async () => (await server.json('/api/v1/query', { query: 'sum(rate(http_requests_total{job="shop",status_code="503"}[1m])) > 0' })).result.length > 0, 60_000);
    await eventually('some seconds of samples', async () => (await server.json('/api/v1/query', { query: 'count_over_time(up{job="shop"}[1m]) > 15' })).result.length > 0, 60_000);
    await eventually('the alert fires', async () => (await server.json('/api/v1/alerts')).alerts.some((a) => a.state === 'firing'), 60_000);
    await eventually('a dead letter', async () => (await server.raw('/api/v1/skopos/notify/dead')).dead.length > 1, 60_000);
  });
  after(async () => {
    await server?.stop();
    await app?.close();
    await chat?.close();
  });

  it('its page draws the golden signals', async () => {
    for (const theme of ['dark', 'light']) {
      const { page, goto, close } = await open(chrome, server, { theme });
      await goto('/services/shop?t=5m');
      await page.getByRole('heading', { name: 'shop', level: 1 }).waitFor();
      const seen = await figures(page, ['Latency', 'Traffic by endpoint', 'Errors', 'Connection pools in use', 'Queue depth']);
      assert.match(seen.Latency, /p50 .*p95 .*p99 /s);
      assert.match(seen['Traffic by endpoint'], /POST \/pay .*GET \/items\/\{id\}/s);
      assert.match(seen.Errors, /503 \d+(\.\d+)?%/);
      assert.match(seen['Connection pools in use'], /90%/);
      assert.match(seen['Queue depth'], /emails 42.*refunds 3/s);
      const pay = page.getByRole('row', { name: /POST \/pay/ });
      assert.match(await pay.innerText(), /\/s[\s\S]*[12]\d%[\s\S]*ms/);
      assert.match(await page.getByLabel('Alerts of shop').innerText(), /PayFails/);
      await accessible(page, `service, scraped, ${theme}`);
      await close();
    }
  });

  it('a dragged part of time offers itself to be zoomed, and keys let it go', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/services/shop?t=5m');
    await figures(page, ['Errors']);
    const drag = async () => {
      await page.locator('[data-chart=Errors] .u-over').scrollIntoViewIfNeeded();
      const box = await page.locator('[data-chart=Errors] .u-over').boundingBox();
      await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.99, box.y + 30, { steps: 4 });
      await page.mouse.up();
    };
    const chosen = page.getByRole('group', { name: 'What to do with the chosen time' });
    await drag();
    await chosen.waitFor();
    // It logs nothing: no link leads to an empty page.
    await chosen.getByText('counting').waitFor({ state: 'detached' });
    assert.equal(await chosen.getByRole('link').count(), 0);
    await page.keyboard.press('Escape');
    await chosen.waitFor({ state: 'detached' });
    // Without a mouse.
    await page.getByRole('slider', { name: /^Errors/ }).focus();
    await page.keyboard.press('End');
    for (let i = 0; i < 6; i += 1) await page.keyboard.press('Shift+ArrowLeft');
    await page.keyboard.press('Enter');
    await chosen.waitFor();
    await page.keyboard.press('Escape');
    await chosen.waitFor({ state: 'detached' });
    await drag();
    await chosen.getByRole('button', { name: 'Zoom' }).click();
    await page.waitForURL(/t=\d+\.\.\d+/);
    await figures(page, ['Errors']);
    await close();
  });

  it('a service that nobody heard of says so, and which were', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/services/shopp');
    await page.getByText('Nothing of “shopp”').waitFor();
    await accessible(page, 'service, unheard');
    await close();
  });

  it('metrics are found, completed, drawn and mended by keys', async () => {
    for (const theme of ['dark', 'light']) {
      const { page, goto, close } = await open(chrome, server, { theme, expected: [/400/] });
      await goto('/?t=5m');
      await page.locator('[data-service]').first().waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('m');
      await page.waitForURL(/\/explore\?t=5m/);
      const found = page.getByRole('button', { name: /^http_requests_total counter/ });
      await found.waitFor();
      await accessible(page, `metric finder, ${theme}`);
      await page.getByRole('searchbox').fill('queue');
      await found.waitFor({ state: 'detached' });
      await page.getByRole('button', { name: /^task_queue_depth gauge/ }).waitFor();
      // Typed, with completions: a metric, then a label, then its value.
      await page.keyboard.press('Escape');
      await page.keyboard.press('/');
      await page.keyboard.type('task_qu');
      await page.getByRole('option', { name: /^task_queue_depth metric/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await page.keyboard.type('{queue');
      await page.getByRole('option', { name: /^queue_name label/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Tab');
      await page.keyboard.type('="ref');
      await page.getByRole('option', { name: /^refunds queue_name/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await page.keyboard.press('End');
      await page.keyboard.type('"');
      await page.keyboard.press('Enter');
      // A brace is missing: it says where.
      await page.getByRole('alert').locator('u').waitFor();
      await page.keyboard.type('}');
      await page.keyboard.press('Enter');
      const result = page.locator('[data-expression="0"]');
      await result.locator('canvas').waitFor();
      assert.match(await result.getByRole('row', { name: /queue_name="refunds"/ }).innerText(), /3\s+3\s+3\s+3\s+service/);
      assert.equal(new URL(page.url()).searchParams.get('expr'), 'task_queue_depth{queue_name="refunds"}');
      await accessible(page, `metrics, ${theme}`);
      await result.getByRole('link', { name: 'service' }).click();
      await page.waitForURL(/\/services\/shop/);
      await page.getByRole('link', { name: 'PromQL of Queue depth' }).click();
      await page.waitForURL(/\/explore\?.*expr=sum/);
      await page.getByRole('button', { name: /queue_name="emails"/ }).click();
      await page.locator('tr.off', { hasText: 'refunds' }).waitFor();
      await close();
    }
  });

  it('an acknowledgement outlives a reload, and is timed', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/alerts');
    await page.locator('[data-firing]', { hasText: 'PayFails' }).first().click();
    const panel = page.locator('[data-response]');
    await panel.getByText('P1: now, within 5 minutes').waitFor();
    await page.locator('[data-ack]:enabled').waitFor();
    await page.keyboard.press('a');
    const dialog = page.getByRole('dialog', { name: 'Acknowledge' });
    await dialog.waitFor();
    await accessible(page, 'acknowledge');
    await page.keyboard.type('ada');
    await page.keyboard.press('Tab');
    await page.keyboard.type('the gateway is down');
    await page.keyboard.press('Enter');
    const said = panel.locator('[data-acknowledged]');
    await said.waitFor();
    await page.reload();
    await said.waitFor();
    assert.match(await said.innerText(), /ada acknowledged after .*(in time|late)/s);
    await panel.getByText('the gateway is down').waitFor();
    assert.equal(await page.locator('[data-ack]').count(), 0, 'it is taken');
    const { alerts } = await server.raw('/api/v1/skopos/alerts');
    assert.equal(alerts.find((alert) => alert.labels.alertname === 'PayFails').acknowledged.by, 'ada');
    await goto('/');
    await page.locator('[data-firing]', { hasText: '✔ ada' }).waitFor();
    await close();
  });

  it('a silence of an hour is made by s, shown, and ended', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/alerts');
    await page.locator('[data-firing]', { hasText: 'PayFails' }).first().click();
    await page.locator('[data-silence]').waitFor();
    await page.keyboard.press('s');
    const dialog = page.getByRole('dialog', { name: 'Silence' });
    await dialog.getByText('alertname="PayFails"').waitFor();
    await accessible(page, 'silence');
    await dialog.getByLabel('Who').fill('ada');
    await dialog.getByLabel('Comment').fill('being mended');
    await page.keyboard.press('Enter');
    const panel = page.locator('[data-response]');
    await panel.getByText('being mended').waitFor();
    const [silence] = (await server.raw('/api/v2/silences')).filter((s) => s.status.state === 'active');
    // The beginning is the server's own now.
    assert.ok(Math.abs(Date.parse(silence.endsAt) - Date.parse(silence.startsAt) - 3_600_000) < 60_000, JSON.stringify(silence));
    assert.deepEqual(silence.matchers.map((m) => m.name).sort(), ['alertname', 'job', 'severity']);
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    const row = page.locator('[data-silences]').getByRole('row', { name: /alertname="PayFails".*ada being mended .*left/ });
    await row.waitFor();
    await accessible(page, 'alerts with a silence');
    await page.goBack();
    await panel.getByRole('button', { name: 'End it' }).click();
    await panel.getByText('being mended').waitFor({ state: 'detached' });
    await close();
  });

  it('what reached nobody is discarded by somebody, who is named', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/alerts');
    const row = page.locator('[data-dead]').getByRole('row', { name: /PayIsUsed chat firing 1 .*400/ });
    await row.getByRole('button', { name: 'Discard' }).click();
    const dialog = page.getByRole('dialog', { name: 'Discard a notification' });
    await dialog.getByLabel('What is discarded').getByText('PayIsUsed').waitFor();
    await accessible(page, 'discard');
    await dialog.getByRole('button', { name: 'Keep it' }).click();
    await dialog.waitFor({ state: 'detached' });
    await row.getByRole('button', { name: 'Discard' }).click();
    await dialog.getByLabel('Who').fill('ada');
    await page.keyboard.press('Enter');
    await row.waitFor({ state: 'detached' });
    const { dead } = await server.raw('/api/v1/skopos/notify/dead');
    assert.deepEqual(dead.map((letter) => /alertname="(\w+)"/.exec(letter.group)[1]), ['PayFails']);
    const { deliveries } = await server.raw('/api/v1/skopos/deliveries');
    assert.ok(deliveries.some((d) => /PayIsUsed/.test(d.group) && /discarded by ada/.test(d.reason)), JSON.stringify(deliveries));
    await close();
  });

  it('what reached nobody is listed and sent again', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/alerts');
    const dead = page.locator('[data-dead]');
    await dead.getByRole('row', { name: /PayFails chat firing 1 .*400/ }).first().waitFor();
    await accessible(page, 'alerts with dead letters');
    await page.locator('[data-firing]', { hasText: 'PayFails' }).first().click();
    await page.locator('[data-told=dead]').first().waitFor();
    await accessible(page, 'firing with a dead letter');
    await page.goBack();
    chat.refuses = false;
    await dead.getByRole('button', { name: 'Send again' }).first().click();
    await eventually('the receiver has it', () => chat.taken > 0);
    await page.locator('[data-firing]', { hasText: 'PayFails' }).first().click();
    await page.locator('[data-told=delivered]').first().waitFor();
    await close();
  });
});

describe('with tokens', () => {
  it('who may only read is told what acknowledging needs, and can give it', async () => {
    const reader = token('page', 'read', '0');
    const boss = token('boss', 'admin', 'a');
    const server = await serve({
      rules: 'groups: [ { name: g, interval: 1s, rules: [ { alert: Always, expr: vector(1), labels: { severity: high } } ] } ]',
      env: { SKOPOS__AUTH__TOKENS: `${reader.entry},${boss.entry}` },
    });
    server.headers = { authorization: `Bearer ${reader.text}` };
    await eventually('it fires', async () => (await server.json('/api/v1/alerts')).alerts.length > 0);
    const { page, goto, close } = await open(chrome, server, { expected: [/40[13]/] });
    const give = async (text) => {
      const prompt = page.getByRole('dialog', { name: 'This server wants a token' });
      await prompt.getByLabel('Token').fill(text);
      await page.keyboard.press('Enter');
      await prompt.waitFor({ state: 'detached' });
    };
    await goto('/alerts');
    await give(reader.text);
    await page.locator('[data-firing]').first().click();
    const acknowledge = async () => {
      await page.locator('[data-ack]:enabled').click();
      await page.getByLabel('Who').fill('ada');
      await page.keyboard.press('Enter');
    };
    await acknowledge();
    await page.getByRole('alert').filter({ hasText: 'admin' }).waitFor();
    await page.getByRole('button', { name: 'Give another token' }).click();
    await give(boss.text);
    await acknowledge();
    await page.locator('[data-acknowledged]', { hasText: 'ada' }).waitFor();
    await page.getByText('P2: within 30 minutes').waitFor();
    await close();
    await server.stop();
  });
});
