use super::*;
use crate::notify::matcher::parse_matchers;

fn route(matchers: &str, receiver: &str) -> RouteSpec {
    RouteSpec {
        receiver: (!receiver.is_empty()).then(|| receiver.into()),
        matchers: parse_matchers(matchers).unwrap(),
        ..RouteSpec::default()
    }
}

fn by(names: &[&str]) -> Option<GroupBy> {
    Some(GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect()))
}

/// The tree of Alertmanager's own examples, in spirit: teams, one of which pages.
fn tree() -> RouteTree {
    let minute = |n: u64| Some(Duration::from_secs(60 * n));
    let team_a = RouteSpec {
        group_by: by(&["alertname", "env"]),
        group_wait: minute(1),
        routes: vec![
            route("env=testing", "notify-testing"),
            RouteSpec {
                continues: true,
                group_wait: minute(2),
                ..route("env=production", "notify-productionA")
            },
            route("env=~produ.*,job=~.*", "notify-productionB"),
        ],
        ..route("owner=team-A", "notify-A")
    };
    let team_b =
        RouteSpec { group_by: Some(GroupBy::All), ..route("owner=~team-(B|C)", "notify-BC") };
    let silent = RouteSpec { mute_time_intervals: vec!["night".into()], ..route("quiet=1", "") };
    RouteTree::new(&RouteSpec {
        group_by: by(&["alertname"]),
        routes: vec![team_a, team_b, silent],
        ..route("ignored=1", "notify-def")
    })
}

#[test]
fn alerts_find_their_routes() {
    let tree = tree();
    for (labels, want) in [
        ("owner=team-A", vec!["notify-A"]),
        ("owner=team-A,env=unset", vec!["notify-A"]),
        ("owner=team-C", vec!["notify-BC"]),
        ("owner=team-A,env=testing", vec!["notify-testing"]),
        ("owner=team-A,env=production", vec!["notify-productionA", "notify-productionB"]),
        ("owner=team-A,env=produce,job=x", vec!["notify-productionB"]),
        ("owner=nobody", vec!["notify-def"]),
        ("quiet=1", vec!["notify-def"]),
    ] {
        let labels =
            Labels::from_pairs(labels.split(',').map(|pair| pair.split_once('=').unwrap()));
        let found: Vec<&str> =
            tree.matching(&labels).into_iter().map(|r| tree.get(r).receiver.as_str()).collect();
        assert_eq!(found, want, "{labels}");
    }
}

#[test]
fn children_inherit_and_keys_name_the_way() {
    let tree = tree();
    let child = tree.get(tree.by_id("{}/{owner=\"team-A\"}/0/{env=\"production\"}/1").unwrap());
    assert_eq!(child.key, "{}/{owner=\"team-A\"}/{env=\"production\"}");
    assert_eq!((child.group_wait.as_secs(), child.group_interval.as_secs()), (120, 300));
    let labels =
        Labels::from_pairs([("alertname", "x\"y"), ("env", "production"), ("instance", "1")]);
    let group = child.group_labels(&labels);
    assert_eq!(
        child.group_key(&group),
        "{}/{owner=\"team-A\"}/{env=\"production\"}:{alertname=\"x\\\"y\", env=\"production\"}"
    );
    let all = tree.iter().find(|route| route.receiver == "notify-BC").unwrap();
    assert_eq!(all.key, "{}/{owner=~\"team-(B|C)\"}");
    assert_eq!(all.group_labels(&labels), labels);
    assert_eq!(tree.get(0).group_key(&Labels::empty()), "{}:{}");
    let ids: BTreeSet<&str> = tree.iter().map(|route| route.id.as_str()).collect();
    assert_eq!(ids.len(), tree.iter().len());
}

#[test]
fn intervals_mute_routes() {
    use super::super::interval::MinuteRange;
    let mut routing = Routing::direct("x", Duration::from_secs(60));
    let hours = |from: &str, to: &str| {
        let times = Some(vec![MinuteRange::parse(from, to).unwrap()]);
        vec![TimeInterval { times, ..TimeInterval::default() }]
    };
    routing.time_intervals.insert("night".into(), hours("00:00", "06:00"));
    routing.time_intervals.insert("office".into(), hours("09:00", "17:00"));
    let mut route = routing.routes.get(0).clone();
    let hour = |hour: i64| Timestamp::from_secs(hour * 3600);
    assert_eq!(routing.muted_by(&route, hour(3)), [""; 0]);
    route.mute_time_intervals = vec!["night".into()];
    assert_eq!(routing.muted_by(&route, hour(3)), ["night"]);
    assert_eq!(routing.muted_by(&route, hour(7)), [""; 0]);
    route.active_time_intervals = vec!["office".into()];
    assert_eq!(routing.muted_by(&route, hour(7)), ["office"]);
    assert_eq!(routing.muted_by(&route, hour(9)), [""; 0]);
}

#[test]
fn configurations_are_resolved() {
    let text = "
route:
  receiver: default
  group_by: [alertname]
  routes:
  - matchers: ['severity=~\"page|critical\"', 'team = db']
    receiver: page
    group_by: ['...']
    mute_time_intervals: [weekend]
  - match: {a: b}
    match_re: {service: foo|bar}
receivers:
- name: default
- name: page
  webhook_configs:
  - url: http://one.example/
  - url: http://two.example/
    send_resolved: false
inhibit_rules:
- source_matchers: [severity=critical]
  target_match_re: {severity: warn.*}
  equal: [service]
time_intervals:
- name: weekend
  time_intervals:
  - weekdays: [saturday, sunday]
    location: Europe/Athens
";
    let config = crate::alertmanager::load("am.yml", text).unwrap();
    let routing = Routing::from_config(&config).unwrap();
    let keys: Vec<&str> = routing.routes.iter().map(|route| route.key.as_str()).collect();
    let wanted = [
        "{}",
        "{}/{severity=~\"page|critical\",team=\"db\"}",
        "{}/{a=\"b\",service=~\"^(?:foo|bar)$\"}",
    ];
    assert_eq!(keys, wanted);
    assert_eq!(routing.routes.get(1).group_by, GroupBy::All);
    assert_eq!(routing.routes.get(2).receiver, "default");
    let page: Vec<_> =
        routing.receivers["page"].iter().map(|i| (i.name.as_str(), i.send_resolved)).collect();
    assert_eq!(page, [("webhook[0]", true), ("webhook[1]", false)]);
    assert_eq!(routing.inhibit_rules.len(), 1);
    // 2026-11-21 was a Saturday; its night in Athens begins at 22:00 on Friday, UTC.
    let friday_night = Timestamp::from_secs(1_795_212_000 + 1_800);
    assert_eq!(routing.muted_by(routing.routes.get(1), friday_night), ["weekend"]);
    let before = friday_night.saturating_sub(Duration::from_secs(3600));
    assert_eq!(routing.muted_by(routing.routes.get(1), before), [""; 0]);
}

#[test]
fn wrong_matchers_and_ranges_are_errors_with_their_place() {
    let text = "
route:
  receiver: default
  routes:
  - matchers: ['severity']
  - match_re: {a: '('}
receivers: [{name: default}]
time_intervals:
- name: odd
  time_intervals:
  - weekdays: [friday:monday]
    location: Europe/Atlantis
";
    let config = crate::alertmanager::load("am.yml", text).unwrap();
    let errors = Routing::from_config(&config).unwrap_err();
    let places: Vec<(usize, usize)> = errors.iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(places, [(5, 16), (6, 19), (12, 15), (11, 16)], "{errors:?}");
}
