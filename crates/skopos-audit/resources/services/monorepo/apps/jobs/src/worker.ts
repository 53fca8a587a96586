import { Worker } from 'bullmq';
import { logger } from '@shop/telemetry';

new Worker('mail', async (job) => {
  logger.info({ id: job.id }, 'job done');
});
