use super::*;
use crate::notify::matcher::parse_matchers;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn silence(id: &str, matchers: &str, starts_at: i64, ends_at: i64) -> Silence {
    Silence {
        id: id.into(),
        matchers: parse_matchers(matchers).unwrap(),
        starts_at: at(starts_at),
        ends_at: at(ends_at),
        updated_at: at(0),
        created_by: "ada".into(),
        comment: "upgrade".into(),
    }
}

/// At 100 s: `active` runs from 50 to 200, `pending` from 150 to 200, `expired` ended at 90.
fn silences() -> Silences {
    let mut silences = Silences::default();
    for (id, start, end) in [("active", 50, 200), ("pending", 150, 200), ("expired", 50, 90)] {
        let silence = silence("", "a=1", start, end);
        let made = silences.set(silence, id.into(), at(10), &mut Vec::new());
        assert_eq!(made.as_deref(), Ok(id));
    }
    silences
}

#[test]
fn edits_keep_the_id_or_replace() {
    for (id, matchers, start, end, keeps) in [
        // The end may be moved, to now at the earliest.
        ("active", "a=1", 50, 300, true),
        ("active", "a=1", 50, 100, true),
        ("active", "a=1", 50, 99, false),
        ("active", "a=1", 60, 300, false),
        ("active", "a=2", 50, 300, false),
        // What has not begun may be moved freely, but not into the past.
        ("pending", "a=1", 110, 400, true),
        ("pending", "a=1", 90, 400, false),
        ("pending", "a=2", 150, 200, false),
        ("expired", "a=1", 50, 300, false),
    ] {
        let mut silences = silences();
        let mut records = Vec::new();
        let edited = silence(id, matchers, start, end);
        let case = format!("{id} {matchers} {start} {end}");
        let result = silences.set(edited.clone(), "new".into(), at(100), &mut records);
        if keeps {
            assert_eq!(result.as_deref(), Ok(id), "{case}");
            assert_eq!(records.len(), 1, "{case}");
            assert_eq!(silences.get(id).unwrap().ends_at, edited.ends_at);
            continue;
        }
        if end < 100 {
            assert!(result.is_err(), "{case}: a new silence must not end before it begins");
            assert!(records.is_empty(), "{case}: the old one goes on");
            continue;
        }
        assert_eq!(result.as_deref(), Ok("new"), "{case}");
        assert_eq!(silences.get(id).unwrap().state(at(100)), SilenceState::Expired, "{case}");
        let new = silences.get("new").unwrap();
        assert_eq!(new.starts_at, at(start.max(100)), "{case}: nothing begins in the past");
        assert_eq!(records.len(), if id == "expired" { 1 } else { 2 }, "{case}");
    }
}

#[test]
fn silences_mute_while_active() {
    let silences = silences();
    let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
    for (now, want) in [(40, vec![]), (50, vec!["active", "expired"]), (100, vec!["active"])] {
        assert_eq!(silences.silencing(&labels, at(now)), want, "{now}");
    }
    assert_eq!(silences.silencing(&labels, at(160)), ["active", "pending"]);
    assert_eq!(silences.silencing(&labels, at(200)), [""; 0]);
    assert_eq!(silences.silencing(&Labels::from_pairs([("b", "2")]), at(100)), [""; 0]);
}

#[test]
fn expiring_ends_now_and_only_once() {
    let mut silences = silences();
    let mut records = Vec::new();
    for id in ["active", "pending"] {
        assert_eq!(silences.expire(id, at(100), &mut records), Ok(()));
        let ended = silences.get(id).unwrap();
        assert_eq!((ended.state(at(100)), ended.ends_at), (SilenceState::Expired, at(100)));
        let again = silences.expire(id, at(100), &mut records);
        assert_eq!(again, Err(SilenceError::AlreadyExpired(id.into())));
    }
    assert_eq!(records.len(), 2);
    assert_eq!(silences.expire("nobody", at(100), &mut records), Err(SilenceError::NotFound));
}

#[test]
fn silences_that_mute_nothing_or_everything_are_refused() {
    let mut silences = silences();
    for (matchers, start, end) in
        [("", 100, 200), ("a=", 100, 200), ("a=~.*,b!=x", 100, 200), ("a=1", 300, 200)]
    {
        let made =
            silences.set(silence("", matchers, start, end), "x".into(), at(100), &mut Vec::new());
        assert!(matches!(made, Err(SilenceError::Invalid(_))), "{matchers}: {made:?}");
    }
    let made = silences.set(silence("?", "a=1", 1, 2), "x".into(), at(100), &mut Vec::new());
    assert_eq!(made, Err(SilenceError::NotFound));
}

#[test]
fn records_bring_silences_back_and_old_ones_are_forgotten() {
    let mut silences = silences();
    let records: Vec<StateRecord> = silences.iter().map(Silence::record).collect();
    let mut corrupt = Vec::new();
    let restored = Silences::restore(&records, &mut corrupt);
    assert_eq!(corrupt, []);
    assert!(restored.iter().eq(silences.iter()));
    let mut records = Vec::new();
    let later = at(150).saturating_add(RETENTION);
    silences.forget(later, &mut records);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].key.as_str(), &records[0].value), ("expired", &None));
}
