// Objectives in the browser: the list, the page of one, what people say about them, and the way from a burn alert to its
// budget and back. The service is scraped and fails one request in ten, so that an objective of 99.5 % burns at once.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { shop } from './app.mjs';
import { accessible, browser, eventually, open, serve, settled } from './harness.mjs';
import { MARK } from './hostile.mjs';

const SLOS = `
slo: pay-availability
service: shop
owner: team-pay
description: Payments that are not refused by us.
sli:
  bad: http_requests_total{job="shop",status_code=~"5.."}
  total: http_requests_total{job="shop"}
target: 99.5%
window: 30d
runbook: https://runbooks.example/pay
---
slo: browse-availability
service: shop
owner: ${JSON.stringify(`team ${MARK}`)}
description: ${JSON.stringify(MARK)}
sli:
  bad: http_requests_total{job="shop",endpoint="/items/{id}",status_code=~"5.."}
  total: http_requests_total{job="shop",endpoint="/items/{id}"}
target: 99%
window: 7d
runbook: "javascript:window.pwned=1"
---
slo: by-endpoint
service: shop
owner: team-shop
sli:
  bad: http_requests_total{job="shop",status_code=~"5.."}
  total: http_requests_total{job="shop"}
group_by: [endpoint]
target: 90%
window: 7d
runbook: runbooks/shop.md
alerts: off
---
slo: nothing-yet
service: warehouse
owner: team-shop
sli: { bad: 'picks_total{ok="no"}', total: picks_total }
target: 99%
window: 7d
runbook: runbooks/warehouse.md
`;

let chrome;
let app;
let server;
before(async () => {
  chrome = await browser();
  app = await shop();
  server = await serve({ slos: SLOS, args: ['--scrape', `shop=${app.url}/metrics`], env: { SKOPOS__SCRAPE__INTERVAL: '1s' } });
  await eventually('a budget is overspent', async () => (await server.json('/api/v1/slos')).slos.some((s) => s.slo === 'pay-availability' && s.budget_remaining < 0), 120_000);
  await eventually('the fast burn alert fires', async () => (await server.json('/api/v1/alerts')).alerts.some((a) => a.labels.slo === 'pay-availability' && a.labels.alertname === 'SLOBurnFast' && a.state === 'firing'), 120_000);
  await server.post('/api/v1/slo/annotations', { kind: 'deploy', service: 'shop', text: `2.0 ${MARK}`, by: MARK, link: 'javascript:window.pwned=1', start_ms: Date.now() - 20_000 });
});
after(async () => {
  await chrome?.close();
  await server?.stop();
  await app?.close();
});

/** The objective’s page, when all of it has come. */
async function opened(page, name) {
  await page.getByRole('heading', { name, level: 1 }).waitFor();
  await page.locator('[data-chart=Budget] canvas').waitFor();
  await settled(page);
}

describe('the list', () => {
  it('comes worst first, is filtered, and leads on by keys', async () => {
    const { page, goto, close } = await open(chrome, server, { width: 1440 });
    await goto('/');
    // The overview names what is at risk.
    await page.locator('[data-slo]', { hasText: 'pay-availability' }).waitFor();
    assert.match(await page.locator('section', { hasText: 'SLOs at risk' }).first().innerText(), /SLOs at risk \d.*overspent by \d+/s);
    await page.keyboard.press('g');
    await page.keyboard.press('b');
    await page.waitForURL(/\/slos$/);
    const rows = page.locator('tbody tr');
    await rows.first().waitFor();
    assert.match(await rows.first().innerText(), /pay-availability[\s\S]*shop[\s\S]*99\.5% of 30d[\s\S]*\d+(\.\d+)?%[\s\S]*−\d+[\s\S]*of 216[\s\S]*×[\s\S]*gone/);
    assert.match(await page.getByRole('row', { name: /nothing-yet/ }).innerText(), /no data[\s\S]*–/);
    await page.getByText('endpoint=/pay').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('team-shop data');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
    await page.waitForURL(/q=team-shop/);
    await page.keyboard.press('Escape');
    await page.getByRole('searchbox').fill('nosuchthing');
    await page.getByText('No SLO matches “nosuchthing”').waitFor();
    await page.getByRole('link', { name: 'Show all' }).click();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/slos\/pay-availability$/);
    await opened(page, 'pay-availability');
    await page.keyboard.press('Control+k');
    // Every objective has an alert of this name; all lead to one page.
    await page.keyboard.type('SLOBurnFast');
    await page.getByRole('option', { name: /SLOBurnFast alert rule/ }).waitFor();
    assert.equal(await page.getByRole('option', { name: /alert rule/ }).count(), 1);
    await page.getByRole('combobox', { name: /Screen, rule/ }).fill('browse');
    await page.getByRole('option', { name: /browse-availability SLO/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/slos\/browse-availability/);
    await close();
  });

  it('a server without objectives says how to begin', async () => {
    const bare = await serve();
    const { page, goto, close } = await open(chrome, bare);
    await goto('/slos');
    await page.getByText('No SLO is defined').waitFor();
    assert.match(await page.locator('main pre').innerText(), /skopos slo init --service/);
    await accessible(page, 'no slos');
    // Written from what a service sends.
    await bare.otlp('logs', { resourceLogs: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: 'depot' } }] }, scopeLogs: [{ logRecords: [{ timeUnixNano: `${Date.now()}000000`, body: { stringValue: 'x' } }] }] }] });
    await eventually('depot is heard of', async () => (await bare.json('/api/v1/label/service_name/values')).includes('depot'));
    await page.reload();
    await page.getByRole('button', { name: 'depot' }).click();
    await page.getByRole('region', { name: 'Specification' }).getByText('for depot').first().waitFor();
    await accessible(page, 'objectives to begin with');
    await goto('/slos/none');
    await page.getByText('No SLO is called “none”').waitFor();
    await close().catch((error) => assert.match(String(error), /404/));
    await bare.stop();
  });
});

describe('an objective', () => {
  it('says what is left, what spent it, how fast it burns, and what that means for changes', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/slos/pay-availability');
    await opened(page, 'pay-availability');
    const facts = (await page.locator('dl.facts').innerText()).replace(/\s+/g, ' ');
    assert.match(facts, /Budget left −\d+(\.\d)?[%×] In minutes −[\d,.]+ of 216 min Good \d+(\.\d+)?% .* bad of .* Burns \d+(\.\d+)?× over 1h Gone in gone .* Data <?\d+(\.\d+)?% .* Gate ✖ freeze/);
    // The burn-down ends where the figures are.
    const left = /Budget left (−\d+)/.exec(facts)[1];
    assert.ok((await page.locator('[data-chart=Budget] figcaption').innerText()).replace(/\s+/g, ' ').includes(`budget left ${left}`), facts);
    assert.equal(await page.locator('[data-verdict]').getAttribute('data-verdict'), 'freeze');
    // A minute of data is no ground for a forecast, and so it says.
    const forecast = page.locator('[data-forecast]');
    assert.match(await forecast.getAttribute('data-forecast'), /^(insufficient_data|exhausted)$/);
    assert.ok((await forecast.innerText()).length > 20);
    const fast = page.getByRole('row', { name: /SLOBurnFast/ });
    assert.match((await fast.innerText()).replace(/\s+/g, ' '), /SLOBurnFast P1 14\.4× [\d.]+× over 1h [\d.]+× over 5m ▲ burns/);
    await page.getByRole('figure', { name: 'Burn rate of SLOBurnFast' }).locator('canvas').waitFor();
    await page.getByRole('button', { name: 'SLOBurnTrend' }).click();
    await page.getByRole('figure', { name: 'Burn rate of SLOBurnTrend' }).locator('canvas').waitFor();
    const spent = page.getByRole('region', { name: /What spent it/ });
    assert.match(await spent.getByRole('list', { name: 'Dearest stretches' }).innerText(), /\d%[\s\S]*at [\d.]+×/);
    // Only /pay fails, and half of the requests are others.
    assert.match(await spent.getByRole('list', { name: 'What bad events have in common' }).innerText(), /100%\s*endpoint=\/pay\s*\d+% of all events/);
    assert.match(await spent.getByRole('list', { name: 'What deploys and incidents cost' }).innerText(), /Deploy 2\.0/);
    assert.equal(await page.getByRole('link', { name: 'runbook ↗' }).getAttribute('href'), 'https://runbooks.example/pay');
    await page.getByRole('link', { name: 'Over time' }).click();
    await page.waitForURL(/viz=rolling/);
    await page.getByText('left of the window that ends there').waitFor();
    await close();
  });

  it('is the way from a burn alert and back to it', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/alerts');
    await page.locator('[data-slo]', { hasText: 'SLO pay-availability' }).first().click();
    await page.waitForURL(/\/slos\/pay-availability/);
    await page.locator('[data-firing]', { hasText: 'SLOBurnFast' }).click();
    await page.waitForURL(/\/alerts\/SLOBurnFast\//);
    const peek = page.getByRole('region', { name: /^SLO/ });
    await peek.getByText(/overspent by/).waitFor();
    await accessible(page, 'a burn alert');
    await peek.getByRole('link', { name: 'pay-availability' }).click();
    await page.waitForURL(/\/slos\/pay-availability/);
    await page.getByRole('link', { name: 'shop', exact: true }).click();
    await page.waitForURL(/\/services\/shop/);
    await page.getByRole('region', { name: /^SLOs/ }).locator('[data-slo]', { hasText: 'pay-availability' }).click();
    await page.waitForURL(/\/slos\/pay-availability/);
    await close();
  });

  it('is annotated by keys', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/slos/pay-availability');
    await opened(page, 'pay-availability');
    await page.keyboard.press('n');
    const dialog = page.getByRole('dialog', { name: 'Annotate' });
    await dialog.waitFor();
    await page.keyboard.type('2.1.0');
    await dialog.getByLabel('From').fill('sometime');
    await dialog.getByLabel('Who').fill('ada');
    await page.keyboard.press('Enter');
    await dialog.getByText('“sometime” is no time').waitFor();
    await accessible(page, 'annotate');
    await dialog.getByLabel('From').fill('now');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: /^Annotations/ }).getByText('2.1.0').waitFor();
    const { annotations } = await server.json('/api/v1/slo/annotations', { service: 'shop' });
    assert.ok(annotations.some((a) => a.kind === 'deploy' && a.text === '2.1.0' && a.by === 'ada'));
    await close();
  });

  it('has time taken out by choosing it, visibly, and put back', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/slos/pay-availability');
    await opened(page, 'pay-availability');
    // The last day of the month that is shown, without a mouse.
    await page.getByRole('slider', { name: /^Budget left/ }).focus();
    await page.keyboard.press('End');
    for (let i = 0; i < 3; i += 1) await page.keyboard.press('Shift+ArrowLeft');
    await page.keyboard.press('Enter');
    const chosen = page.getByRole('group', { name: 'What to do with the chosen time' });
    await chosen.getByRole('button', { name: 'Do not count' }).click();
    const dialog = page.getByRole('dialog', { name: 'Correct' });
    await dialog.getByLabel('Why').fill('a load test');
    await dialog.getByLabel('Until').fill('now');
    await dialog.getByLabel('Who').fill('ada');
    await accessible(page, 'correct');
    await page.keyboard.press('Enter');
    const corrections = page.getByRole('region', { name: 'Corrections' });
    await corrections.getByText('a load test').waitFor();
    await corrections.getByText(/takes out [\d,]+ bad of [\d,]+/).waitFor();
    assert.equal((await server.json('/api/v1/slo/corrections', { slo: 'pay-availability' })).corrections.length, 1);
    await corrections.getByRole('button', { name: 'Take it back' }).click();
    await corrections.getByText(/taken back/).waitFor();
    await close();
  });

  it('with groups shows the worst, and each by its own address', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/slos/by-endpoint');
    await opened(page, 'by-endpoint');
    const groups = page.getByRole('list', { name: 'Groups' });
    assert.match(await groups.locator('[aria-current]').innerText(), /endpoint=\/pay/);
    await page.getByText('It has no burn-rate alerts').waitFor();
    await groups.getByRole('link', { name: /endpoint=\/items/ }).click();
    await page.waitForURL(/sel=endpoint/);
    await page.waitForFunction(() => /100%/.test(document.querySelector('dl.facts').innerText));
    await page.reload();
    await opened(page, 'by-endpoint');
    assert.match(await groups.locator('[aria-current]').innerText(), /endpoint=\/items/);
    await close();
  });

  it('without data is honest about it', async () => {
    const { page, goto, close } = await open(chrome, server);
    await goto('/slos/nothing-yet');
    await page.getByText('Nothing is known of this time').waitFor();
    assert.match((await page.locator('dl.facts').innerText()).replace(/\s+/g, ' '), /Budget left – .*Good – .*Data 0% none yet/);
    assert.equal(await page.locator('[data-forecast]').getAttribute('data-forecast'), 'insufficient_data');
    await accessible(page, 'no data');
    await close();
  });

  it('shows hostile text as text', async () => {
    const { page, goto, close } = await open(chrome, server);
    for (const path of ['/slos', '/slos/browse-availability', '/slos/pay-availability', '/services/shop', '/']) {
      await goto(path);
      await page.locator('main a').first().waitFor();
      await settled(page);
      const found = await page.evaluate(() => ({
        pwned: globalThis.pwned,
        elements: [...document.querySelectorAll('img, script:not([src]), [onerror], [onload], iframe, a[href^="javascript" i]')].map((e) => e.outerHTML),
      }));
      assert.deepEqual(found, { pwned: undefined, elements: [] }, path);
      // It is there, as text: the test would otherwise prove nothing.
      if (path.startsWith('/slos/')) assert.ok((await page.locator('main').innerText()).includes('<img src=x onerror='), `${path} shows the text`);
    }
    await close();
  });

  for (const theme of ['dark', 'light']) {
    it(`is accessible, ${theme}`, async () => {
      const { page, goto, close } = await open(chrome, server, { theme });
      for (const path of ['/slos', '/slos/by-endpoint', '/slos/pay-availability', '/slos/pay-availability?t=5m', '/services/shop?t=5m', '/']) {
        await goto(path);
        await page.locator('[data-slo], [data-chart] canvas').first().waitFor();
        await accessible(page, `${path}, ${theme}`);
      }
      await close();
    });
  }

  it('fits on a phone', async () => {
    const { page, goto, close } = await open(chrome, server, { width: 390, height: 800 });
    for (const path of ['/slos', '/slos/pay-availability', '/slos/by-endpoint', '/']) {
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
});
