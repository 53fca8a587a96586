//! What people note about objectives: corrections, deploys and what they cost, leave to deploy.

use skopos_alerting::slo::{Annotation, AnnotationKind, Correction, GateOverride, NoteError};

use crate::fuzzing::Random;
use crate::slo_count::Events;
use crate::slo_world::{DAY, HOUR, MINUTE, SLOTS, START, World, at, slo, status};

#[test]
fn corrections_take_time_out_and_show_it() {
    let mut world = World::new(&slo(""), SLOTS, START);
    let mut random = Random(3);
    let events = Events::random(&mut random, 480, &mut world);
    for slot in 1..=480 {
        world.slot(START + slot * SLOTS);
    }
    let now = START + 480 * SLOTS;
    let (from, to) = (START + 30 * MINUTE, START + 50 * MINUTE);
    let note = Correction {
        id: String::new(),
        slo: "shop".into(),
        start_ms: from,
        end_ms: to,
        reason: "announced maintenance".into(),
        by: "ann".into(),
        created_ms: 0,
        revoked_ms: None,
    };
    let before = status(&world, now);
    let (note, commit) = world.engine.correct(note, at(now)).unwrap();
    world.commit(Some(commit));
    for restarted in [false, true] {
        if restarted {
            world.restart(now);
        }
        let found = status(&world, now);
        let (bad, total) = events.sum(0, now, None);
        let (out_bad, out_total) = events.sum(from, to, None);
        assert_eq!((found.bad, found.total), (bad - out_bad, total - out_total));
        let effect = &found.corrections[0];
        assert_eq!(
            (effect.bad, effect.total, &*effect.correction.reason),
            (out_bad, out_total, "announced maintenance")
        );
        assert_eq!(found.budget_remaining_uncorrected, before.budget_remaining);
    }
    let (_, commit) = world.engine.revoke_correction(&note.id, at(now)).unwrap();
    world.commit(Some(commit));
    assert_eq!(status(&world, now).bad, before.bad);
    assert!(world.engine.corrections(None)[0].revoked_ms.is_some());
}

#[test]
fn a_deploy_is_told_what_it_cost() {
    let mut world = World::new(&slo(""), MINUTE, START);
    let bad = |minute: i64| if minute > 120 { (minute - 120) as f64 * 50.0 } else { 0.0 };
    let all: Vec<_> = (0..=180).map(|m| (START + m * MINUTE, m as f64 * 1000.0)).collect();
    let failed: Vec<_> = (0..=180).map(|m| (START + m * MINUTE, bad(m))).collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &all);
    world.counter(&[("__name__", "req_total"), ("code", "500")], &failed);
    for minute in 1..=180 {
        world.slot(START + minute * MINUTE);
    }
    let now = START + 180 * MINUTE;
    let deploy = |minute: i64, text: &str| Annotation {
        id: String::new(),
        kind: AnnotationKind::Deploy,
        service: "shop".into(),
        start_ms: START + minute * MINUTE,
        end_ms: None,
        text: text.into(),
        by: "ci".into(),
        link: String::new(),
    };
    for (minute, text) in [(60, "v1"), (120, "v2")] {
        let (_, commit) = world.engine.annotate(deploy(minute, text), at(now)).unwrap();
        world.commit(Some(commit));
    }
    // Said again it is the same.
    let (_, commit) = world.engine.annotate(deploy(120, "v2"), at(now)).unwrap();
    world.commit(Some(commit));
    world.restart(now);
    let costs = world.engine.costs("shop", at(now));
    let told: Vec<_> =
        costs.iter().map(|c| (&*c.annotation.text, c.until_ms, c.spent_before)).collect();
    assert_eq!(told, [("v2", now, 0.0), ("v1", START + 120 * MINUTE, 0.0)]);
    // 3,000 failures of 183,000 requests against one per cent of them.
    assert!((costs[0].spent - 3000.0 / 1830.0).abs() < 1e-9, "{}", costs[0].spent);
    assert_eq!(costs[1].spent, 0.0);
    assert_eq!(
        costs[0].sentence,
        "Deploy \"v2\" burned 164 % of the budget of shop in 1 h (0 % in as much time before)."
    );
}

#[test]
fn notes_that_make_no_sense_are_refused() {
    let mut world = World::new(&slo("policy: {override: [lead]}\n"), SLOTS, START);
    let now = START + DAY;
    let note = Correction {
        id: String::new(),
        slo: "shop".into(),
        start_ms: START,
        end_ms: START + 1,
        reason: "r".into(),
        by: "b".into(),
        created_ms: 0,
        revoked_ms: None,
    };
    let mut refuse = |change: &dyn Fn(&mut Correction)| {
        let mut note = note.clone();
        change(&mut note);
        world.engine.correct(note, at(now)).unwrap_err()
    };
    assert_eq!(refuse(&|n| n.slo = "x".into()), NoteError::UnknownSlo("x".into()));
    assert_eq!(refuse(&|n| n.reason = " ".into()), NoteError::Empty("the reason"));
    assert_eq!(refuse(&|n| n.by = "x".repeat(5000)), NoteError::TooLong("the author"));
    assert_eq!(refuse(&|n| n.end_ms = n.start_ms), NoteError::EndBeforeStart);
    assert_eq!(refuse(&|n| n.start_ms = now - 500 * DAY), NoteError::OutOfRange);
    assert_eq!(
        refuse(&|n| (n.start_ms, n.end_ms) = (now + 2 * DAY, now + 3 * DAY)),
        NoteError::OutOfRange
    );
    let leave = |by: &str, until: i64| GateOverride {
        id: String::new(),
        service: "shop".into(),
        reason: "fix".into(),
        by: by.into(),
        created_ms: 0,
        until_ms: until,
    };
    let mut ask = |note: GateOverride| world.engine.override_gate(note, at(now)).map(|_| ());
    assert!(matches!(ask(leave("intern", now + HOUR)), Err(NoteError::NotAllowed { .. })));
    assert_eq!(ask(leave("lead", now - 1)), Err(NoteError::BadExpiry));
    assert_eq!(ask(leave("lead", now + 8 * DAY)), Err(NoteError::BadExpiry));
    assert_eq!(ask(leave("lead", now + HOUR)), Ok(()));
    let other = GateOverride { service: "x".into(), ..leave("lead", now + HOUR) };
    assert_eq!(ask(other), Err(NoteError::UnknownService("x".into())));
    assert!(world.engine.revoke_correction("nope", at(now)).is_err());
}

/// Trouble that began before the deploy is not the deploy's, though one slice holds both.
#[test]
fn a_deploy_is_not_charged_with_the_seconds_before_it() {
    let mut world = World::new(&slo(""), SLOTS, START);
    // One of five fails, from the third second of a minute on; the deploy is in the last seconds of that minute.
    let steps = 0..=80;
    let all: Vec<_> = steps.clone().map(|n| (START + n * SLOTS, n as f64 * 100.0)).collect();
    let failed: Vec<_> = steps
        .map(|n| (START + n * SLOTS, if n > 40 { (n - 40) as f64 * 25.0 } else { 0.0 }))
        .collect();
    world.counter(&[("__name__", "req_total"), ("code", "200")], &all);
    world.counter(&[("__name__", "req_total"), ("code", "500")], &failed);
    let deployed = START + 40 * SLOTS + 57_000;
    let mut told = Vec::new();
    for slot in 1..=80 {
        let now = START + slot * SLOTS;
        world.slot(now);
        if slot == 44 {
            let note = Annotation {
                id: String::new(),
                kind: AnnotationKind::Deploy,
                service: "shop".into(),
                start_ms: deployed,
                end_ms: None,
                text: "v2".into(),
                by: "ci".into(),
                link: String::new(),
            };
            let (_, commit) = world.engine.annotate(note, at(now)).unwrap();
            world.commit(Some(commit));
        }
        if [48, 80].contains(&slot) {
            told.push(world.engine.costs("shop", at(now)).remove(0));
        }
    }
    // A minute after it as much was spent as in the minute before: it changed nothing.
    let (after, before) = (told[0].spent, told[0].spent_before);
    assert!((after / before - 1.0).abs() < 0.15, "{}", told[0].sentence);
    // All in all what it is charged with and what was before it is what was spent, once.
    let left = status(&world, START + 80 * SLOTS).budget_remaining.unwrap();
    let spent = told[1].spent + told[1].spent_before;
    assert!((spent - (1.0 - left)).abs() < 1e-9, "{spent} of {}", 1.0 - left);
}
