// Vite's configuration: Svelte, a development proxy, and the two things the binary needs beside the bundle:
// compressed copies of every file, and the stamp by which build.rs knows that `dist` fits the sources.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const root = import.meta.dirname;
/** The same list as INPUTS in build.rs. */
const inputs = [
  'index.html', 'package.json', 'package-lock.json', '.npmrc', 'vite.config.ts', 'tsconfig.json', 'src', 'public',
];

function filesBelow(path: string): string[] {
  if (!existsSync(join(root, path))) return [];
  if (statSync(join(root, path)).isFile()) return [path];
  return readdirSync(join(root, path)).flatMap((name) => filesBelow(`${path}/${name}`));
}

function stamp(): string {
  const hash = createHash('sha256');
  const names = inputs.flatMap(filesBelow).filter((name) => !name.endsWith('api/schema.d.ts'));
  for (const name of names.sort()) {
    const bytes = readFileSync(join(root, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

function compress(): Plugin {
  let out = '';
  return {
    name: 'skopos-compress',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle() {
      const each = (folder: string): void => {
        for (const name of readdirSync(folder)) {
          const path = join(folder, name);
          if (statSync(path).isDirectory()) {
            each(path);
          } else if (/\.(js|css|html|svg)$/.test(name)) {
            const bytes = readFileSync(path);
            const quality = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
            writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: quality }));
            writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
          }
        }
      };
      each(join(out));
      writeFileSync(join(out, '.stamp'), stamp());
    },
  };
}

const server = process.env.SKOPOS_SERVER ?? 'http://127.0.0.1:4319';

export default defineConfig({
  plugins: [svelte(), compress()],
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  server: {
    proxy: Object.fromEntries(['/api', '/health', '/metrics'].map((path) => [path, { target: server, changeOrigin: true }])),
  },
});
