//! Who speaks, as far as the process can find out: host, process, container, Kubernetes, revision.
//!
//! A pure function of two look-ups, variables and files. What somebody said explicitly always wins. Kubernetes' facts come
//! from the variables of the downward API, by their usual names (`POD_NAME`, `POD_NAMESPACE`, `POD_UID`, `NODE_NAME`).

use super::Service;

/// Variables that carry the revision that was built, in the order in which they are believed.
const REVISIONS: &[&str] = &[
    "GIT_SHA",
    "GIT_COMMIT",
    "COMMIT_SHA",
    "SOURCE_COMMIT",
    "VERGEN_GIT_SHA",
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
];

/// Adds the facts that nobody gave.
pub(crate) fn detect(
    service: &mut Service,
    variable: impl Fn(&str) -> Option<String>,
    file: impl Fn(&str) -> Option<String>,
) {
    let variable = |key: &str| variable(key).filter(|value| !value.trim().is_empty());
    let first = |keys: &[&str]| keys.iter().find_map(|key| variable(key));
    let mut put = |key: &str, value: Option<String>| {
        let Some(value) = value.map(|value| value.trim().to_owned()) else { return };
        if !value.is_empty() && service.find(key).is_none() {
            service.attributes.push((key.to_owned(), value));
        }
    };
    let is_kubernetes = variable("KUBERNETES_SERVICE_HOST").is_some();
    let host = file("/proc/sys/kernel/hostname").or_else(|| first(&["HOSTNAME", "COMPUTERNAME"]));
    let executable = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let pid = std::process::id();
    let container = file("/proc/self/cgroup")
        .and_then(|text| container_id(&text))
        .or_else(|| file("/proc/self/mountinfo").and_then(|text| container_of_mounts(&text)));

    put("host.name", host.clone());
    put("host.arch", Some(architecture().to_owned()));
    put("os.type", Some(std::env::consts::OS.to_owned()));
    put("process.pid", Some(pid.to_string()));
    put("process.executable.name", executable);
    put("process.runtime.name", Some("rust".to_owned()));
    put("container.id", container.clone());
    let pod =
        first(&["K8S_POD_NAME", "POD_NAME"]).or_else(|| host.clone().filter(|_| is_kubernetes));
    let pod_uid = first(&["K8S_POD_UID", "POD_UID"]);
    let namespace = first(&["K8S_NAMESPACE", "POD_NAMESPACE"]).or_else(|| {
        is_kubernetes
            .then(|| file("/var/run/secrets/kubernetes.io/serviceaccount/namespace"))
            .flatten()
    });
    let in_pod = is_kubernetes || pod.is_some();
    put("k8s.pod.name", pod);
    put("k8s.pod.uid", pod_uid.clone());
    put("k8s.namespace.name", namespace);
    put("k8s.node.name", first(&["K8S_NODE_NAME", "NODE_NAME"]));
    // By itself the short name says nothing of Kubernetes.
    let container_name = first(&["CONTAINER_NAME"]);
    let of_pod = container_name.clone().filter(|_| in_pod);
    put("k8s.container.name", first(&["K8S_CONTAINER_NAME"]).or(of_pod));
    put("container.name", container_name.filter(|_| !in_pod));
    put("k8s.cluster.name", first(&["K8S_CLUSTER_NAME", "CLUSTER_NAME"]));
    put("vcs.ref.head.revision", first(REVISIONS));
    // What tells replicas apart: as stable as the surroundings allow.
    let process = || format!("{}:{pid}", host.as_deref().unwrap_or("unknown").trim());
    put("service.instance.id", Some(pod_uid.or(container).unwrap_or_else(process)));
}

/// The semantic conventions' words for processors.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "x86" => "x86",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The id in a line of version 1's `/proc/self/cgroup`: the last part of the path, without what runtimes put around it.
fn container_id(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| {
        let last = line.rsplit('/').next()?;
        let last = last.strip_suffix(".scope").unwrap_or(last);
        let last = last.rsplit(['-', ':']).next()?;
        is_id(last).then(|| last.to_owned())
    })
}

/// With version 2 only the mounts of `/etc/hostname` and its like show the id.
fn container_of_mounts(mountinfo: &str) -> Option<String> {
    mountinfo.lines().filter(|line| line.contains("/containers/")).find_map(|line| {
        let mut parts = line.split('/').skip_while(|part| *part != "containers").skip(1);
        parts.find(|part| is_id(part)).map(str::to_owned)
    })
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::detect;
    use crate::Service;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn with(service: Service, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Service {
        let find = |list: &[(&str, &str)], key: &str| {
            list.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        };
        let mut service = service;
        detect(&mut service, |key| find(variables, key), |path| find(files, path));
        service
    }

    #[test]
    fn a_plain_process() {
        let service = with(Service::new("s"), &[], &[("/proc/sys/kernel/hostname", "box\n")]);
        assert_eq!(service.find("host.name"), Some("box"));
        let pid = std::process::id().to_string();
        assert_eq!(service.find("process.pid"), Some(pid.as_str()));
        assert_eq!(service.find("service.instance.id"), Some(format!("box:{pid}").as_str()));
        for key in ["os.type", "host.arch", "process.executable.name"] {
            assert!(service.find(key).is_some(), "{key}");
        }
        for key in ["container.id", "k8s.pod.name", "vcs.ref.head.revision"] {
            assert_eq!(service.find(key), None, "{key}");
        }
    }

    #[test]
    fn the_name_of_a_container_is_kubernetes_only_in_a_pod() {
        let name = ("CONTAINER_NAME", "shop");
        for (variables, in_pod) in [(vec![name], false), (vec![name, ("POD_NAME", "shop-1")], true)]
        {
            let service = with(Service::new("s"), &variables, &[]);
            let expected = Some("shop");
            assert_eq!(service.find("k8s.container.name"), expected.filter(|_| in_pod));
            assert_eq!(service.find("container.name"), expected.filter(|_| !in_pod));
        }
    }

    #[test]
    fn a_pod_with_the_downward_api() {
        let service = with(
            Service::new("s").attribute("k8s.node.name", "said"),
            &[
                ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
                ("HOSTNAME", "orders-7f"),
                ("POD_UID", "uid-1"),
                ("NODE_NAME", "found"),
                ("GIT_SHA", "abc123"),
                ("CI_COMMIT_SHA", "later"),
            ],
            &[("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop")],
        );
        for (key, expected) in [
            ("k8s.pod.name", "orders-7f"),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "said"),
            ("service.instance.id", "uid-1"),
            ("vcs.ref.head.revision", "abc123"),
        ] {
            assert_eq!(service.find(key), Some(expected), "{key}");
        }
    }

    #[test]
    fn containers_of_both_versions_and_no_container() {
        for (path, text, expected) in [
            ("/proc/self/cgroup", format!("5:cpu:/docker/{ID}\n"), Some(ID)),
            (
                "/proc/self/cgroup",
                format!("0::/kubepods.slice/cri-containerd-{ID}.scope\n"),
                Some(ID),
            ),
            ("/proc/self/cgroup", format!("0::/a/cri-containerd:{ID}\n"), Some(ID)),
            ("/proc/self/cgroup", "0::/user.slice/session-1.scope\n".to_owned(), None),
            (
                "/proc/self/mountinfo",
                format!("1 2 3:4 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw"),
                Some(ID),
            ),
            ("/proc/self/mountinfo", "1 2 3:4 / / rw".to_owned(), None),
        ] {
            let service = with(Service::new("s"), &[], &[(path, &text)]);
            assert_eq!(service.find("container.id"), expected, "{text}");
        }
    }
}
