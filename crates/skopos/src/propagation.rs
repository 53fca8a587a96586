//! To whom ids go: trace ids, baggage and request ids are for services of one's own, not for third parties.
//!
//! Without a list, and to the word `private` in one, ids go to hosts that are not on the public internet: loopback, private addresses, names of one word (as in a
//! cluster or a compose file) and names below a domain that is never public. A host that is left out for the first time is
//! told at INFO, so that a trace that breaks is not a riddle.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Domains that only exist inside: by RFC 6761, 6762 and 8375, ICANN's resolution on `internal`, and Kubernetes' default.
const PRIVATE_DOMAINS: &[&str] =
    &[".internal", ".local", ".localhost", ".home.arpa", ".lan", ".svc", ".test"];
/// The word in a list for what is allowed without one.
const PRIVATE: &str = "private";
/// Hosts that are told about at most.
const MOST_TOLD: usize = 32;

/// The hosts that ids are sent to. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// Private ones when absent.
    listed: Option<Arc<[String]>>,
    told: Arc<Mutex<HashSet<String>>>,
}

impl Hosts {
    /// These only; one that begins with a dot stands for all below it, `private` for all that are not on the public internet,
    /// and `*` for all there are.
    pub(crate) fn listed<I: IntoIterator<Item: Into<String>>>(hosts: I) -> Hosts {
        Hosts { listed: Some(hosts.into_iter().map(Into::into).collect()), ..Hosts::default() }
    }

    pub(crate) fn allow(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let Some(listed) = &self.listed else {
            let is_allowed = is_private(host);
            if !is_allowed {
                self.tell(host);
            }
            return is_allowed;
        };
        listed.iter().any(|allowed| match allowed.as_str() {
            "*" => true,
            PRIVATE => is_private(host),
            allowed => is_at_or_below(host, allowed),
        })
    }

    fn tell(&self, host: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD && told.insert(host.to_owned()) {
            drop(told);
            tracing::info!(
                target: "skopos",
                host,
                "ids are not sent to a public host; if it is yours, name it in SKOPOS_PROPAGATE_TO=private,HOST or `propagate_to`"
            );
        }
    }
}

/// Returns whether the host is the one allowed, or below it where that begins with a dot.
fn is_at_or_below(host: &str, allowed: &str) -> bool {
    if !allowed.starts_with('.') {
        return host.eq_ignore_ascii_case(allowed);
    }
    let end = host.len().checked_sub(allowed.len()).and_then(|start| host.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(allowed))
}

fn is_private(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            !host.is_empty() && !host.contains('.')
                || PRIVATE_DOMAINS.iter().any(|domain| is_at_or_below(host, domain))
                || is_at_or_below(host, ".cluster.local")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn without_a_list_ids_stay_inside() {
        let hosts = Hosts::default();
        for inside in [
            "localhost",
            "payments",
            "payments.shop.svc.cluster.local",
            "payments.shop.svc",
            "api.INTERNAL",
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.9",
            "172.16.0.1",
            "169.254.1.1",
            "[::1]",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(hosts.allow(inside), "{inside}");
        }
        for outside in
            ["example.com", "internal.example.com", "8.8.8.8", "172.32.0.1", "2606::1", ""]
        {
            assert!(!hosts.allow(outside), "{outside}");
        }
    }

    #[test]
    fn a_list_is_all_there_is() {
        let hosts = Hosts::listed(["api.example.com", ".shop.example"]);
        assert!(hosts.allow("API.example.com") && hosts.allow("a.shop.example"));
        for outside in ["localhost", "example.com", "shop.example", "evilshop.example", "x"] {
            assert!(!hosts.allow(outside), "{outside}");
        }
        assert!(Hosts::listed(["*"]).allow("anything.com"));
        let with_private = Hosts::listed(["private", "api.example.com"]);
        for inside in ["localhost", "10.1.2.3", "payments.shop.svc", "api.example.com"] {
            assert!(with_private.allow(inside), "{inside}");
        }
        assert!(!with_private.allow("other.example.com"));
        assert!(!Hosts::listed([""; 0]).allow("localhost"));
    }
}
