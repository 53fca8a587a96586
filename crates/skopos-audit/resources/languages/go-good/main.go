package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
)

var duration = promauto.NewHistogramVec(
	prometheus.HistogramOpts{Name: "orders_request_duration_seconds", Help: "Request duration."},
	[]string{"method", "route", "status"},
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		slog.Error("no trace exporter", "error", err)
		return
	}
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("orders"))),
	)
	otel.SetTracerProvider(tp)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	r := chi.NewRouter()
	r.Get("/healthz", live)
	r.Get("/ready", ready)
	r.Get("/orders/{id}", order)
	r.Handle("/metrics", promhttp.Handler())
	server := &http.Server{Addr: ":8080", Handler: otelhttp.NewHandler(r, "orders")}
	go server.ListenAndServe()
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server.Shutdown(end)
	tp.Shutdown(end)
}

func live(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusOK)
}

func ready(w http.ResponseWriter, r *http.Request) {
	if err := db.PingContext(r.Context()); err != nil {
		slog.WarnContext(r.Context(), "not ready", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func order(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	traceID := trace.SpanContextFromContext(r.Context()).TraceID().String()
	slog.InfoContext(r.Context(), "order read", "trace_id", traceID, "order_kind", "book")
	duration.WithLabelValues("GET", "/orders/{id}", "200").Observe(time.Since(start).Seconds())
}
