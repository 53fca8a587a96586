"""Sends one log, one trace and four metrics with the OpenTelemetry Python SDK; prints the trace id.

Arguments: grpc|http and the endpoint. Fails when anything could not be delivered.
"""

import sys

from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

protocol, endpoint = sys.argv[1:3]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = lambda kind, path: kind(endpoint=endpoint, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = lambda kind, path: kind(endpoint=endpoint + path)

resource = Resource.create(
    {"service.name": f"python-{protocol}", "deployment.environment": "test"}
)
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(exporter(OTLPSpanExporter, "/v1/traces")))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(exporter(OTLPLogExporter, "/v1/logs")))
reader = PeriodicExportingMetricReader(exporter(OTLPMetricExporter, "/v1/metrics"))
buckets = View(
    instrument_name="order_value",
    aggregation=ExplicitBucketHistogramAggregation([10, 25, 50, 100]),
)
meters = MeterProvider(resource=resource, metric_readers=[reader], views=[buckets])

tracer = tracers.get_tracer("shop")
with tracer.start_as_current_span("process_order", attributes={"order.id": "order-012"}) as span:
    trace_id = format(span.get_span_context().trace_id, "032x")
    try:
        with tracer.start_as_current_span("charge_payment"):
            raise RuntimeError("card declined")
    except RuntimeError:
        pass
    span.add_event("order_completed", attributes={"order.total": 99.99})
    loggers.get_logger("shop").emit(
        severity_number=_logs.SeverityNumber.INFO,
        severity_text="INFO",
        body="order_placed",
        attributes={"order_id": "order-012", "amount": 99.99, "password": "hunter2"},
    )

meter = meters.get_meter("shop")
meter.create_counter("orders_placed").add(3, {"payment_method": "card", "region": "eu"})
histogram = meter.create_histogram("order_value", unit="dollars")
histogram.record(42.0)
histogram.record(80.0)
meter.create_up_down_counter("active_users_current").add(7)

delivered = [tracers.force_flush(), loggers.force_flush(), meters.force_flush()]
for provider in (tracers, loggers, meters):
    provider.shutdown()
print(trace_id)
sys.exit(0 if all(delivered) else "telemetry was not delivered")
