const crypto = require('node:crypto');
const express = require('express');
const pino = require('pino');
const pinoHttp = require('pino-http');
const client = require('prom-client');

const logger = pino({
  level: process.env.LOG_LEVEL || 'info',
  transport: process.env.NODE_ENV !== 'production' ? { target: 'pino-pretty' } : undefined,
  redact: ['req.headers.authorization', 'req.headers.cookie', '*.password', '*.token'],
});
const app = express();
app.use(pinoHttp({ logger, genReqId: (req) => req.headers['x-request-id'] || crypto.randomUUID() }));

const duration = new client.Histogram({
  name: 'http_request_duration_seconds',
  help: 'Duration',
  labelNames: ['method', 'route', 'status_code'],
});

app.use((req, res, next) => {
  const end = duration.startTimer();
  res.on('finish', () => end({ method: req.method, route: req.route ? req.route.path : 'unmatched', status_code: res.statusCode }));
  next();
});

app.get('/carts/:id', async (req, res) => {
  try {
    res.json(await load(req.params.id));
  } catch (err) {
    req.log.error({ err }, 'cart_failed');
    res.status(500).end();
  }
});

app.get('/health/live', (req, res) => res.json({ status: 'alive' }));
app.get('/metrics', async (req, res) => res.send(await client.register.metrics()));

const server = app.listen(3000);
process.on('SIGTERM', () => server.close());
