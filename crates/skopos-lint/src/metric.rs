//! What a metric's name says: whether it counts, and whether it is what users feel or why they do.
//!
//! Names are all that a rule file has; types come with the data. The words are those of the Prometheus
//! naming practice, the guide's golden signals and the exporters in wide use.

use skopos_model::{METRIC_NAME, MatchOp};
use skopos_promql::ast::VectorSelector;

/// The metric that a selector names, when it names just one.
pub(crate) fn name_of(selector: &VectorSelector) -> Option<&str> {
    let mut names = selector.matchers.iter().filter(|m| m.name() == METRIC_NAME);
    match (names.next(), names.next()) {
        (Some(matcher), None) if matcher.op() == MatchOp::Equal => Some(matcher.value()),
        _ => None,
    }
}

/// Whether the name is a counter's by the naming practice. Recorded metrics (`level:metric:op`) keep
/// the name of what they were made from, and are none.
pub(crate) fn is_counter(name: &str) -> bool {
    name.ends_with("_total") && !name.contains(':')
}

/// Whether the name is a recording rule's.
pub(crate) fn is_recorded(name: &str) -> bool {
    name.contains(':')
}

/// What an alert on a metric tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// What users feel: errors, latency, traffic, work that waits.
    Symptom,
    /// What may be behind it: CPU, memory, disks, restarts.
    Cause,
    /// The name does not say.
    Unknown,
}

/// Words of symptoms: requests and their errors and latency, work that waits, promises to users.
const SYMPTOMS: [&str; 40] = [
    "request",
    "requests",
    "http",
    "grpc",
    "rpc",
    "error",
    "errors",
    "errs",
    "failed",
    "failure",
    "failures",
    "fail",
    "latency",
    "duration",
    "response",
    "responses",
    "slo",
    "sli",
    "burnrate",
    "availability",
    "probe",
    "success",
    "queue",
    "lag",
    "delay",
    "age",
    "freshness",
    "backlog",
    "staleness",
    "dropped",
    "rejected",
    "timeout",
    "timeouts",
    "orders",
    "checkout",
    "payments",
    "expiry",
    "expiration",
    "expire",
    "missed",
];

/// Words of causes.
const CAUSES: [&str; 33] = [
    "cpu",
    "memory",
    "mem",
    "ram",
    "disk",
    "filesystem",
    "inode",
    "inodes",
    "swap",
    "load1",
    "load5",
    "load15",
    "restart",
    "restarts",
    "gc",
    "goroutines",
    "threads",
    "heap",
    "jvm",
    "throttled",
    "throttling",
    "fds",
    "filefd",
    "oom",
    "pressure",
    "conntrack",
    "rss",
    "iops",
    "softirq",
    "interrupts",
    "temperature",
    "fan",
    "evictions",
];

/// What an alert on this metric tells.
pub(crate) fn class(name: &str) -> Class {
    // Resource requests of Kubernetes are no requests that anybody waits for.
    let name = name.replace("resource_requests", "resource").replace("resource_limits", "resource");
    let words = || name.split(['_', ':', '.']).map(str::to_ascii_lowercase);
    if words().any(|word| CAUSES.contains(&word.as_str())) {
        return Class::Cause;
    }
    match words().any(|word| SYMPTOMS.contains(&word.as_str())) {
        true => Class::Symptom,
        false => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_names_in_the_wild() {
        for (name, want) in [
            ("node_cpu_seconds_total", Class::Cause),
            ("process_resident_memory_bytes", Class::Cause),
            ("node_filesystem_avail_bytes", Class::Cause),
            ("kube_pod_container_status_restarts_total", Class::Cause),
            ("kube_pod_container_resource_requests", Class::Unknown),
            ("container_memory_working_set_bytes", Class::Cause),
            ("http_requests_total", Class::Symptom),
            ("http_request_duration_seconds_bucket", Class::Symptom),
            ("http.server.request.duration", Class::Symptom),
            ("grpc_server_handled_total", Class::Symptom),
            ("task_queue_depth", Class::Symptom),
            ("kafka_consumergroup_lag", Class::Symptom),
            ("probe_success", Class::Symptom),
            ("slo:sli_error:ratio_rate5m", Class::Symptom),
            ("db_connection_pool_usage_ratio", Class::Unknown),
            ("up", Class::Unknown),
            ("kubelet_node_name", Class::Unknown),
        ] {
            assert_eq!(class(name), want, "{name}");
        }
    }

    #[test]
    fn counters_by_name() {
        assert!(is_counter("http_requests_total"));
        assert!(!is_counter("job:http_requests_total"));
        assert!(!is_counter("node_memory_MemTotal_bytes"));
    }
}
