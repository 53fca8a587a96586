import logging
import os

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SECRET = {"password", "token", "authorization"}


def redact(logger, method, event):
    return {key: "[REDACTED]" if key in SECRET else value for key, value in event.items()}


def configure_logging(environment: str) -> None:
    renderer = structlog.processors.JSONRenderer() if environment == "production" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, redact, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[renderer]))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def configure_tracing() -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "orders"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])))
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument()
    return provider
