// A service that is only scraped, under the names of the guide, and a receiver of notifications: both in this process,
// both do what the test says.

import { createServer } from 'node:http';

function listen(answer) {
  const server = createServer(answer);
  return new Promise((done) => {
    server.listen(0, '127.0.0.1', () => done({ url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((closed) => { server.close(closed); server.closeAllConnections(); }) }));
  });
}

/** Requests since the first look, 20 a second, one in ten of them a 503 on `/pay`. */
export async function shop() {
  const began = Date.now();
  const text = () => {
    const n = Math.floor((Date.now() - began) / 50);
    const lines = ['# TYPE http_requests_total counter'];
    const routes = [['POST', '/pay', 0.5], ['GET', '/items/{id}', 0.4], ['GET', '/health', 0.1]];
    for (const [method, endpoint, share] of routes) {
      const all = Math.floor(n * share);
      const failed = endpoint === '/pay' ? Math.floor(all / 5) : 0;
      lines.push(`http_requests_total{method="${method}",endpoint="${endpoint}",status_code="200"} ${all - failed}`);
      if (failed > 0) lines.push(`http_requests_total{method="${method}",endpoint="${endpoint}",status_code="503"} ${failed}`);
    }
    lines.push('# TYPE http_request_duration_seconds histogram');
    for (const [method, endpoint, share] of routes) {
      const all = Math.floor(n * share);
      const under = { 0.05: 0.5, 0.1: 0.9, 0.25: 0.99, 1: 1, '+Inf': 1 };
      for (const [le, part] of Object.entries(under)) lines.push(`http_request_duration_seconds_bucket{method="${method}",endpoint="${endpoint}",le="${le}"} ${Math.floor(all * part)}`);
      lines.push(`http_request_duration_seconds_sum{method="${method}",endpoint="${endpoint}"} ${all * 0.06}`, `http_request_duration_seconds_count{method="${method}",endpoint="${endpoint}"} ${all}`);
    }
    lines.push(
      '# TYPE db_connection_pool_usage_ratio gauge', 'db_connection_pool_usage_ratio 0.9',
      '# TYPE task_queue_depth gauge', 'task_queue_depth{queue_name="emails"} 42', 'task_queue_depth{queue_name="refunds"} 3',
    );
    return `${lines.join('\n')}\n`;
  };
  return listen((_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(text());
  });
}

/** Takes notifications, or refuses them for good while `refuses` is true. */
export async function receiver() {
  const state = { refuses: true, taken: 0 };
  const server = await listen((request, response) => {
    request.resume();
    request.on('end', () => {
      response.statusCode = state.refuses ? 400 : 200;
      if (!state.refuses) state.taken += 1;
      response.end(state.refuses ? 'no such channel' : '');
    });
  });
  return Object.assign(state, server);
}
