//! The story, played by the binary, and the same with a part missing: a step that is not seen is
//! named, and the exit code says so.
#![cfg(feature = "demo")]

use crate::harness::run;

#[test]
fn scripted_story_is_seen_whole() {
    let output = run(&["demo", "--scripted", "--format", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{complaint}");
    let steps: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = steps.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "healthy traffic",
            "fault on",
            "alert pending",
            "alert firing",
            "webhook received",
            "logs of the alert's window",
            "trace id from a log line",
            "failing span in payment-service",
            "fault off",
            "alert resolved",
            "resolved notification received",
            "metric below the threshold",
        ]
    );
    assert!(steps.iter().all(|s| s["seen"] == true));
}

/// A deploy burns the budget of an objective: the page, the gate from 0 to 2, and what it cost.
#[test]
fn scripted_story_of_a_burned_budget_is_seen_whole() {
    let output = run(&["demo", "--scripted", "--story", "slo", "--format", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{complaint}");
    let steps: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), step["what"].as_str().unwrap()))
        .collect();
    for (name, want) in [
        ("the gate is open: go", "exit code 0: order-service: go."),
        ("the deploy is noted", "noted: deploy \"v2\" of order-service"),
        ("the fast-burn alert fires", "order-availability burns its error budget"),
        ("somebody is paged", "budget left -"),
        ("the gate is closed: freeze", "exit code 2: order-service: freeze."),
        ("the status says what happened", "Deploy \"v2\" burned "),
    ] {
        let what = told.iter().find(|(step, _)| *step == name).map(|(_, what)| *what);
        assert!(what.is_some_and(|what| what.contains(want)), "{name}: {told:#?}");
    }
    assert!(steps.iter().all(|step| step["seen"] == true));
}

#[test]
fn script_without_fault_names_the_budget() {
    let output = run(&["demo", "--scripted", "--story", "slo", "--without", "fault"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("was not seen: the budget burns too fast"), "{complaint}");
}

#[test]
fn script_without_fault_names_the_alert() {
    fails_at("fault", "alert pending");
}

#[test]
fn script_without_sink_names_the_webhook() {
    fails_at("sink", "webhook received");
}

#[test]
fn script_without_payment_service_names_the_traffic() {
    fails_at("payment-service", "healthy traffic");
}

fn fails_at(without: &str, step: &str) {
    let output = run(&["demo", "--scripted", "--without", without]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains(&format!("was not seen: {step}")), "{complaint}");
}
