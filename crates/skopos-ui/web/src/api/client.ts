// One way to the server: typed paths from the OpenAPI document, the token from this tab's session, one kind of failure.

import createClient from 'openapi-fetch';
import type { PathsWithMethod } from 'openapi-typescript-helpers';
import type { paths } from './schema';
import { auth } from '../lib/auth.svelte';

/** Why a request did not give what was asked for. */
export class Failure extends Error {
  override name = 'Failure';
  /** The HTTP status; 0 when no answer came. */
  readonly status: number;
  /** Where in the filter, in bytes. */
  readonly position: { start: number; end: number } | null;
  readonly suggestions: string[];

  constructor(
    message: string,
    status: number,
    position: { start: number; end: number } | null = null,
    suggestions: string[] = [],
  ) {
    super(message);
    this.status = status;
    this.position = position;
    this.suggestions = suggestions;
  }
}

const client = createClient<paths>({ querySerializer: { array: { style: 'form', explode: true } } });

client.use({
  onRequest({ request }) {
    const headers = authorization();
    for (const [name, value] of Object.entries(headers)) request.headers.set(name, value);
    return request;
  },
});

export function authorization(): Record<string, string> {
  return auth.token === '' ? {} : { authorization: `Bearer ${auth.token}` };
}

export type GetPath = PathsWithMethod<paths, 'get'>;
export type PutPath = PathsWithMethod<paths, 'put'>;
export type PostPath = PathsWithMethod<paths, 'post'>;
export type DeletePath = PathsWithMethod<paths, 'delete'>;
type Query = Record<string, string | number | string[] | undefined>;

/** GETs `path` and returns the `data` of the answer (or the whole answer where it has no such envelope). */
export async function get<T>(path: GetPath, query: Query, signal?: AbortSignal, parts: Record<string, string> = {}): Promise<T> {
  const call = client.GET as unknown as (
    path: string, init: object,
  ) => Promise<{ data?: unknown; error?: unknown; response: Response }>;
  let answer;
  try {
    answer = await call(path, { params: { query, path: parts }, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure('the server does not answer', 0);
  }
  if (answer.error !== undefined || !answer.response.ok) throw failure(answer.response, answer.error);
  const body = answer.data as { status?: string; data?: T };
  return body?.status === 'success' && 'data' in body ? (body.data as T) : (body as T);
}

/** PUTs JSON to `path` and returns the `data` of the answer. */
export async function put<T>(path: PutPath, body: object): Promise<T> {
  return ((await change('PUT', path, body)) as { data: T }).data;
}

/** POSTs JSON to `path` and returns the answer as it is. */
export async function post<T>(path: PostPath, body: object): Promise<T> {
  return (await change('POST', path, body)) as T;
}

/** DELETEs what `path` names with its `parts`. */
export async function remove(path: DeletePath, parts: Record<string, string>): Promise<void> {
  await change('DELETE', path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parts[name] ?? '')));
}

async function change(method: string, path: string, body?: object): Promise<unknown> {
  // A header that no form of another site can send: the server wants it of every change.
  const headers = { ...authorization(), 'content-type': 'application/json', 'x-skopos-request': '1' };
  let response: Response;
  try {
    response = await fetch(path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  } catch {
    throw new Failure('the server does not answer', 0);
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw failure(response, answer);
  return answer;
}

/** What the error bodies of our own API, the Prometheus API, Alertmanager's and the Jaeger API say. */
export function failure(response: Response, body: unknown): Failure {
  if (response.status === 401) auth.wanted = true;
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const jaeger = Array.isArray(fields.errors) ? (fields.errors[0] as { msg?: string } | undefined)?.msg : undefined;
  const text = [typeof body === 'string' ? body : '', fields.error, fields.message, jaeger].find((t) => typeof t === 'string' && t !== '');
  const position = fields.position as { start: number; end: number } | undefined;
  const suggestions = Array.isArray(fields.suggestions) ? fields.suggestions.map(String) : [];
  return new Failure(String(text ?? `${response.status} ${response.statusText}`), response.status, position ?? null, suggestions);
}

/** Opens a stream of newline-delimited JSON. */
export async function stream(path: string, query: Record<string, string>, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(`${path}?${new URLSearchParams(query)}`, { headers: authorization(), signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure('the server does not answer', 0);
  }
  if (!response.ok || !response.body) {
    throw failure(response, await response.json().catch(() => null));
  }
  return response.body;
}
