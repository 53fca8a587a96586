import Koa from 'koa';
import { logger } from '@shop/telemetry';

const app = new Koa();
app.use(async (ctx) => {
  logger.info({ path: ctx.path }, 'request');
  ctx.body = 'ok';
});
app.listen(3000);
