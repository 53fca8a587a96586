//! The specification that the SDK writes is one that `skopos slo` reads.

use std::time::Duration;

use skopos::slo::Objective;
use skopos::{Service, Telemetry};
use skopos_alerting::slo;

#[test]
fn what_is_declared_is_read_as_it_was_meant() {
    let (telemetry, _layer) = Telemetry::builder(Service::new("order \"1\" service"))
        .without_lines()
        .without_panic_hook()
        .build()
        .unwrap();
    let fresh = telemetry.sli("prices-fresh");
    let latency = Objective::latency("orders-latency", "/orders/{id}", Duration::from_millis(200));
    for objective in [
        Objective::availability("availability", "").window_days(28),
        latency.target_percent(99.0).description("Orders: \"quick\", # not a comment"),
        Objective::of(&fresh).target_percent(95.5),
    ] {
        let objective = objective.owner("team: orders").runbook("runbooks/orders.md#now");
        telemetry.objective(objective).unwrap();
    }
    let yaml = telemetry.objectives_yaml();
    let set = slo::load(&[("slo.yml", yaml.as_str())])
        .unwrap_or_else(|errors| panic!("{errors:?}\n{yaml}"));
    let told: Vec<(&str, &str, f64)> =
        set.slos.iter().map(|slo| (&*slo.name, &*slo.service, slo.target)).collect();
    let service = "order \"1\" service";
    let expected = [
        ("availability", service, 0.999),
        ("orders-latency", service, 0.99),
        ("prices-fresh", service, 0.955),
    ];
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!((told.0, told.1), (expected.0, expected.1));
        assert!((told.2 - expected.2).abs() < 1e-12, "{told:?}");
    }
    assert_eq!(told.len(), 3);
    assert_eq!(set.slos[1].description, "Orders: \"quick\", # not a comment");
    for slo in &set.slos {
        assert_eq!(slo.owner, "team: orders");
    }
    assert_eq!(set.slos[0].window, slo::Window::Rolling(Duration::from_secs(28 * 86_400)));
}
