import logging

import httpx
from fastapi import FastAPI, HTTPException, Request
from prometheus_client import Counter

logging.basicConfig(level=logging.DEBUG)
logger = logging.getLogger(__name__)

app = FastAPI(debug=True)
REQUESTS = Counter("http_requests_total", "Requests", ["method", "endpoint", "user_id"])


@app.middleware("http")
async def log_requests(request: Request, call_next):
    print("request", request.method, request.url.path)
    logger.info("headers: %s", dict(request.headers))
    return await call_next(request)


@app.post("/login")
async def login(request: Request):
    form = await request.json()
    logger.info(f"login: {form}")
    password = form["password"]
    logger.debug("checking %s", password)
    return {"ok": True}


@app.get("/orders/{order_id}")
async def order(order_id: str, request: Request):
    REQUESTS.labels("GET", request.url.path, request.headers["x-user"]).inc()
    try:
        stock = httpx.get(f"http://inventory:8000/items/{order_id}")
        return stock.json()
    except httpx.HTTPError:
        raise HTTPException(status_code=500)
