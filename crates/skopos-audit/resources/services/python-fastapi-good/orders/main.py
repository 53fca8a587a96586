import time
import uuid
from contextlib import asynccontextmanager

import httpx
import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from orders.telemetry import configure_logging, configure_tracing

logger = structlog.get_logger()
REQUESTS = Counter("http_requests_total", "Requests", ["method", "endpoint", "status_code"])
DURATION = Histogram("http_request_duration_seconds", "Duration", ["method", "endpoint", "status_code"])


@asynccontextmanager
async def lifespan(app: FastAPI):
    configure_logging("production")
    provider = configure_tracing()
    yield
    provider.shutdown()


app = FastAPI(lifespan=lifespan)
FastAPIInstrumentor.instrument_app(app)


@app.middleware("http")
async def observe(request: Request, call_next):
    request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
    structlog.contextvars.bind_contextvars(request_id=request_id)
    start = time.perf_counter()
    response = await call_next(request)
    endpoint = request.scope["route"].path if "route" in request.scope else "unmatched"
    REQUESTS.labels(request.method, endpoint, response.status_code).inc()
    DURATION.labels(request.method, endpoint, response.status_code).observe(time.perf_counter() - start)
    return response


@app.get("/orders/{order_id}")
async def order(order_id: str):
    try:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://inventory:8000/items/{order_id}")
    except httpx.HTTPError:
        logger.exception("inventory_failed", order_id=order_id)
        raise HTTPException(status_code=502)
    logger.info("order_read", order_id=order_id, status=answer.status_code)
    return answer.json()


@app.get("/health/live")
async def live():
    return {"status": "alive"}


@app.get("/health/ready")
async def ready(request: Request):
    await request.app.state.redis.ping()
    return {"status": "ready"}


@app.get("/metrics")
async def metrics():
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
