// What the browser tests and the screenshots share: real servers with real data, and a browser that notices trouble.
// Every server listens on free ports and keeps its data in a folder that goes with it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const BINARY = process.env.SKOPOS_BIN;
const CHROMIUM = process.env.SKOPOS_CHROMIUM ?? '/usr/bin/chromium';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Generous: the machine may be busy with other tests. Nothing waits this long when all is well. */
export const PATIENCE_MS = 30_000;

/** Asks again and again until `look` gives something. */
export async function eventually(what, look, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  let trouble = '';
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
    } catch (error) {
      trouble = `: ${error.message}`;
    }
    if (Date.now() > deadline) throw new Error(`not seen in ${patience / 1000} s: ${what}${trouble}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

class Running {
  constructor(child, folder, log) {
    this.child = child;
    this.folder = folder;
    this.log = log;
  }

  get api() {
    return `http://${this.addresses.http}`;
  }

  async json(path, query = {}) {
    const response = await fetch(`${this.api}${path}?${new URLSearchParams(query)}`, { headers: this.headers ?? {} });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()).data;
  }

  /** As `json`, for answers without an envelope. */
  async raw(path, query = {}) {
    const response = await fetch(`${this.api}${path}?${new URLSearchParams(query)}`, { headers: this.headers ?? {} });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Changes something; the `data` of the answer. */
  async post(path, body) {
    const response = await fetch(`${this.api}${path}`, {
      method: 'POST', headers: { ...this.headers, 'content-type': 'application/json', 'x-skopos-request': '1' }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()).data;
  }

  /** Sends OTLP as JSON. */
  async otlp(signal, body) {
    const response = await fetch(`http://${this.addresses.otlp_http}/v1/${signal}`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`/v1/${signal}: ${response.status} ${await response.text()}`);
  }

  async stop() {
    if (this.child.exitCode === null) {
      const ended = new Promise((done) => this.child.once('exit', done));
      this.child.kill('SIGTERM');
      const forced = setTimeout(() => this.child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(forced);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function start(args, ready, folder, env = {}) {
  if (!BINARY) throw new Error('SKOPOS_BIN names no binary: run `cargo xtask test`, or set it to target/debug/skopos');
  const log = [];
  const child = spawn(BINARY, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => log.push(bytes.toString()));
  const running = new Running(child, folder, log);
  try {
    running.addresses = await eventually(`${args[0]} is ready`, () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${log.join('').slice(-2000)}`);
      return existsSync(ready) && JSON.parse(readFileSync(ready, 'utf8'));
    });
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

/** A server of its own. `rules` is the text of a rule file, `slos` that of a file of objectives, `routes` that of an alertmanager.yml. */
export function serve({ rules = '', slos = '', routes = '', env = {}, args = [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'skopos-ui-'));
  const ready = join(folder, 'ready.json');
  const all = [
    'serve', '--no-open', '--data', join(folder, 'data'), '--ready-file', ready, '--evaluation-interval', '1s',
    '--listen', '127.0.0.1:0', '--otlp-grpc', '127.0.0.1:0', '--otlp-http', '127.0.0.1:0', ...args,
  ];
  if (rules) {
    writeFileSync(join(folder, 'rules.yml'), rules);
    all.push('--rules', join(folder, 'rules.yml'));
  }
  if (slos) {
    writeFileSync(join(folder, 'slos.yml'), slos);
    all.push('--slo', join(folder, 'slos.yml'));
  }
  if (routes) {
    writeFileSync(join(folder, 'alertmanager.yml'), routes);
    all.push('--alertmanager-config', join(folder, 'alertmanager.yml'));
  }
  return start(all, ready, folder, env);
}

/** The demo: a server and three services that take orders. */
export async function demo() {
  const folder = mkdtempSync(join(tmpdir(), 'skopos-ui-'));
  const running = await start(['demo', '--data', folder], join(folder, 'ready.json'), folder);
  running.fault = async (name, on) => {
    const { activeTargets } = await running.json('/api/v1/targets');
    for (const target of activeTargets) {
      const answer = await fetch(`${new URL(target.scrapeUrl).origin}/faults/${name}`, {
        method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ on }),
      }).catch(() => null);
      if (answer?.ok) return;
    }
    throw new Error(`no service has the fault ${name}`);
  };
  running.firing = (rule) => eventually(`${rule} fires`, async () => {
    const { alerts } = await running.json('/api/v1/alerts');
    return alerts.find((alert) => alert.labels.alertname === rule && alert.state === 'firing');
  }, 60_000);
  return running;
}

/** A token of this name and scope, as the configuration takes it, and its text; several differ by their `first` digit. */
export function token(name, scope, first = '0') {
  const text = `skopos_${first}123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef`;
  return { text, entry: `${name}:${scope}:${createHash('sha256').update(text).digest('hex')}` };
}

export function browser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb', '--disable-background-networking'],
  });
}

/** A page at `server` that remembers everything that should not happen. */
export async function open(chrome, server, { theme = 'dark', width = 1280, height = 800, expected = [] } = {}) {
  const context = await chrome.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', timezoneId: 'UTC', locale: 'en-GB' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const trouble = [];
  const tolerated = (text) => expected.some((pattern) => pattern.test(text));
  page.on('pageerror', (error) => trouble.push(`script error: ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !tolerated(`${message.text()} ${message.location().url}`)) trouble.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(server.api) && !url.startsWith('data:')) trouble.push(`request to a foreign origin: ${url}`);
  });
  page.on('dialog', (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
  });
  return {
    page,
    trouble,
    goto: (path) => page.goto(server.api + path),
    close: async () => {
      await context.close();
      if (trouble.length > 0) throw new Error(`the page is in trouble:\n  ${trouble.join('\n  ')}`);
    },
  };
}

/** Waits until nothing is loading: no skeleton, and what the screen is about is there. */
export async function settled(page) {
  await page.waitForFunction(() => document.querySelector('main') && !document.querySelector('main [aria-label="loading"], .stale'));
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))));
}

/** Has axe look at the page as it is. */
export async function accessible(page, where) {
  await settled(page);
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const said = violations.map((v) => `${v.id}: ${v.help}\n      ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.any[0]?.message ?? ''}`).join('\n      ')}`);
  assert.equal(said.length, 0, `${where}:\n    ${said.join('\n    ')}`);
}

/** Waits until these charts have drawn something, and returns what their legends say. */
export async function figures(page, titles) {
  const seen = {};
  for (const title of titles) {
    const panel = page.locator(`[data-chart="${title}"]`);
    await panel.locator('canvas').waitFor();
    seen[title] = await eventually(`${title} has a figure`, async () => {
      const text = (await panel.locator('figcaption').innerText()).replace(/\s+/g, ' ');
      return /\d/.test(text) && text;
    });
  }
  return seen;
}
