// What the built UI may weigh, and that it names no foreign address. Looks at the folder that SKOPOS_UI_DIST names.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { gzipSync } from 'node:zlib';

const dist = process.env.SKOPOS_UI_DIST;
const KB = 1024;

function files() {
  assert.ok(dist, 'SKOPOS_UI_DIST names the built folder');
  return ['index.html', ...readdirSync(join(dist, 'assets')).map((name) => `assets/${name}`)].filter((name) => /\.(html|js|css)$/.test(name));
}

const gzipped = (name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length;

it('the first screen loads at most 90 kB of script, everything together 300 kB', () => {
  const page = readFileSync(join(dist, 'index.html'), 'utf8');
  const first = new Set([...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((m) => m[1]));
  assert.ok(first.size > 0, page);
  // What those import without being asked.
  for (const name of first) {
    for (const [, next] of readFileSync(join(dist, name), 'utf8').matchAll(/(?:^|[;}\s])(?:import|from)\s*["']\.\/([^"']+\.js)["']/g)) first.add(`assets/${next}`);
  }
  const initial = [...first].reduce((sum, name) => sum + gzipped(name), 0);
  const total = files().reduce((sum, name) => sum + gzipped(name), 0);
  console.log(`initial script ${(initial / KB).toFixed(1)} kB, total ${(total / KB).toFixed(1)} kB, gzipped`);
  assert.ok(initial <= 90 * KB, `initial script ${initial} bytes`);
  assert.ok(total <= 300 * KB, `total ${total} bytes`);
});

it('no foreign address is in it', () => {
  // Names of XML namespaces and messages' references are never fetched.
  const harmless = /https?:\/\/(www\.w3\.org\/|svelte\.dev\/)/g;
  for (const name of files()) {
    const text = readFileSync(join(dist, name), 'utf8').replace(harmless, '');
    const found = text.match(/https?:\/\/[\w.-]+\.[a-z]{2,}/gi) ?? [];
    assert.deepEqual(found, [], name);
  }
});
