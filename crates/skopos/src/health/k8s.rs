//! Kubernetes' three probes, with the guide's numbers.

use std::time::Duration;

use super::DEFAULT_TIMEOUT;

/// Returns the three probes for a container that serves them on this port: what `skopos k8s probes --port 8000` prints.
///
/// ```
/// assert_eq!(
///     skopos::health::k8s_probes_yaml(8000),
///     "\
/// livenessProbe:
///   httpGet: { path: /health/live, port: 8000 }
///   initialDelaySeconds: 5
///   periodSeconds: 15
///   timeoutSeconds: 3
///   failureThreshold: 3
/// readinessProbe:
///   httpGet: { path: /health/ready, port: 8000 }
///   initialDelaySeconds: 5
///   periodSeconds: 10
///   timeoutSeconds: 5
///   failureThreshold: 3
/// startupProbe:
///   httpGet: { path: /health/startup, port: 8000 }
///   periodSeconds: 5
///   failureThreshold: 30
/// "
/// );
/// ```
pub fn k8s_probes_yaml(port: u16) -> String {
    yaml(port, "", DEFAULT_TIMEOUT)
}

/// The same for a service that is not served from the root of its paths: `prefix` stands before `/health`.
///
/// ```
/// let yaml = skopos::health::k8s_probes_yaml_under(9090, "/internal");
/// assert!(yaml.contains("{ path: /internal/health/live, port: 9090 }"));
/// ```
pub fn k8s_probes_yaml_under(port: u16, prefix: &str) -> String {
    yaml(port, prefix, DEFAULT_TIMEOUT)
}

/// The probes of a service whose slowest check may take so long.
pub(super) fn yaml(port: u16, prefix: &str, slowest: Duration) -> String {
    // The guide's 5 s leave room beside checks of 2 to 3 s; a slower one keeps that room.
    let timeout = (slowest.as_secs_f64().ceil() + 2.0).max(5.0);
    let period = timeout.max(10.0);
    format!(
        "\
livenessProbe:
  httpGet: {{ path: {prefix}/health/live, port: {port} }}
  initialDelaySeconds: 5
  periodSeconds: 15
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {{ path: {prefix}/health/ready, port: {port} }}
  initialDelaySeconds: 5
  periodSeconds: {period}
  timeoutSeconds: {timeout}
  failureThreshold: 3
startupProbe:
  httpGet: {{ path: {prefix}/health/startup, port: {port} }}
  periodSeconds: 5
  failureThreshold: 30
"
    )
}

#[cfg(test)]
mod tests {
    use super::{k8s_probes_yaml, yaml};
    use std::time::Duration;

    #[test]
    fn probes_have_the_guides_numbers() {
        let text = k8s_probes_yaml(8000);
        let (live, rest) = text.split_once("readinessProbe:").unwrap();
        let (ready, startup) = rest.split_once("startupProbe:").unwrap();
        for (probe, name, expected) in [
            (live, "live", [Some(5), Some(15), Some(3), Some(3)]),
            (ready, "ready", [Some(5), Some(10), Some(5), Some(3)]),
            (startup, "startup", [None, Some(5), None, Some(30)]),
        ] {
            assert!(probe.contains(&format!("path: /health/{name}, port: 8000")), "{probe}");
            let keys =
                ["initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"];
            for (key, expected) in keys.into_iter().zip(expected) {
                let found = probe.lines().find_map(|line| line.trim().strip_prefix(key));
                let found: Option<u32> = found.map(|text| text[2..].parse().unwrap());
                assert_eq!(found, expected, "{key} of {name}");
            }
        }
    }

    #[test]
    fn a_slow_check_has_a_probe_that_waits_for_it() {
        let text = yaml(80, "", Duration::from_millis(9_500));
        assert!(text.contains("periodSeconds: 12\n  timeoutSeconds: 12\n"), "{text}");
    }
}
