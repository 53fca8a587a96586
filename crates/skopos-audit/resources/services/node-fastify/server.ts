import Fastify from 'fastify';

const fastify = Fastify({ logger: true });

fastify.get('/health', async () => ({ ok: true }));
fastify.get('/prices/:id', async (request, reply) => {
  request.log.info({ id: request.params.id }, 'price read');
  return { price: 1 };
});

fastify.listen({ port: 3000 });
