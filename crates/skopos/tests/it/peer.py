"""A service with the OpenTelemetry Python SDK: continues the trace of who calls it, and calls on.

Arguments: the OTLP endpoint, and the address to call. Prints its own port, then serves until it is killed.
"""

import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

endpoint, onward = sys.argv[1:3]
provider = TracerProvider(resource=Resource.create({"service.name": "python-peer"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint + "/v1/traces")))
tracer = provider.get_tracer("peer")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        context = propagate.extract(self.headers)
        with tracer.start_as_current_span("python serves", context=context, kind=SpanKind.SERVER):
            headers = {"x-request-id": self.headers.get("x-request-id", "python-made")}
            with tracer.start_as_current_span("python calls", kind=SpanKind.CLIENT):
                propagate.inject(headers)
                request = urllib.request.Request(onward, headers=headers)
                answer = urllib.request.urlopen(request, timeout=20).read()
        # Both spans are exported by now: the processor is the simple one.
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
