// The services that have sent anything, from the label that spans and logs derive, or from what was scraped.

import { get } from '../api/client';
import { seconds, type Window } from './time';

export async function services(window: Window, signal?: AbortSignal): Promise<string[]> {
  const query = { start: seconds(window.from), end: seconds(window.to) };
  const parts = { name: 'service_name' };
  const names = await get<string[]>('/api/v1/label/{name}/values', query, signal, parts);
  return names.filter((name) => name !== '');
}

/** The address of a service's page. One that ends like a file's name must not be taken for a file when it is opened anew. */
export function servicePath(service: string): string {
  return `/services/${encodeURIComponent(service).replace(/\.([a-z0-9]+)$/i, '%2E$1')}`;
}
