//! The good and bad events of one budget, slice by slice, with running sums: what any window spent is
//! two look-ups, however long it is.
//!
//! Two tiers. The last days are kept in slices of a minute or more; older days in quarters of an hour, which
//! are the unit of the durable records too, and of which a day is decoded when a window begins in it.
//! Every block knows the sum of all that came before it, so the sum of a window is the difference
//! between two running sums. A slice that is written again (late data) corrects the running sums after it.
//!
//! A window's ends are moved outwards to the next border: of a slice in the last four days, of a quarter of an
//! hour before. Times are milliseconds since the epoch; a slice holds what happened after its start and up to its end.
//! Days begin at midnight UTC.

mod codec;

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use skopos_model::storage::{StateKind, StateRecord};

use super::{Period, millis};
pub(super) use codec::{decode_quarter, decode_quarters};

/// Width of a quarter of an hour.
pub(super) const QUARTER_MS: i64 = 15 * 60_000;
const QUARTERS_PER_DAY: i64 = 96;

/// The border of quarters of an hour at or before a moment: history is read in whole ones, as it is kept.
pub(super) fn quarter_before(at_ms: i64) -> i64 {
    at_ms.div_euclid(QUARTER_MS).saturating_mul(QUARTER_MS)
}

/// The border at or after it.
pub(super) fn quarter_after(at_ms: i64) -> i64 {
    quarter_before(at_ms.saturating_add(QUARTER_MS - 1))
}
const DAY_MS: i64 = QUARTER_MS * QUARTERS_PER_DAY;

/// Whole days, beside the present one, whose slices are kept.
const FINE_DAYS: i64 = 4;

/// Days that are kept at all.
pub const RETENTION_DAYS: i64 = 400;

/// What one slice had, in units of budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Bad events, or bad slices.
    pub bad: f64,
    /// All of them.
    pub total: f64,
}

impl Slice {
    const MISSING: Self = Self { bad: 0.0, total: f64::NAN };

    fn is_missing(self) -> bool {
        self.total.is_nan()
    }
}

/// What a stretch of time had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Bad events, or bad slices.
    pub bad: f64,
    /// All of them.
    pub total: f64,
    /// Minutes of it for which there was data.
    pub minutes: i64,
}

impl Sum {
    /// The share of bad events; none where nothing happened.
    pub fn error_ratio(&self) -> Option<f64> {
        (self.total > 0.0).then(|| (self.bad / self.total).clamp(0.0, 1.0))
    }
}

impl Add for Sum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bad: self.bad + other.bad,
            total: self.total + other.total,
            minutes: self.minutes + other.minutes,
        }
    }
}

impl Sub for Sum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            bad: self.bad - other.bad,
            total: self.total - other.total,
            minutes: self.minutes - other.minutes,
        }
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The slices of one budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    slice_ms: i64,
    /// Quarters without gaps; the first begins a day.
    quarters: VecDeque<Quarter>,
    first_quarter: i64,
    /// Days without gaps, up to the first quarter.
    days: VecDeque<Day>,
    first_day: i64,
    /// Where the last slice with data ends.
    covered_until: Option<i64>,
    /// Quarters that the log does not have, with the end of their first changed slice.
    changed_quarters: BTreeMap<i64, i64>,
    changed_days: BTreeMap<i64, ()>,
    gone: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Quarter {
    before: Sum,
    sum: Sum,
    /// As many as were written; the rest is missing.
    slices: Vec<Slice>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Day {
    before: Sum,
    sum: Sum,
    /// Its quarters as [`codec`] writes them; nothing for a day without data.
    bytes: Box<[u8]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Round {
    Down,
    Up,
}

impl Ledger {
    /// An empty ledger of slices of a width, which must divide a quarter of an hour.
    pub fn new(slice: Duration, now_ms: i64) -> Self {
        let slice_ms = millis(slice).clamp(60_000, QUARTER_MS);
        debug_assert_eq!(QUARTER_MS % slice_ms, 0);
        let first_day = now_ms.div_euclid(DAY_MS) - FINE_DAYS;
        Self {
            slice_ms,
            quarters: VecDeque::new(),
            first_quarter: first_day * QUARTERS_PER_DAY,
            days: VecDeque::new(),
            first_day,
            covered_until: None,
            changed_quarters: BTreeMap::new(),
            changed_days: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// Width of its slices in milliseconds.
    pub fn slice_ms(&self) -> i64 {
        self.slice_ms
    }

    /// Where the last slice with data ends.
    pub fn covered_until(&self) -> Option<i64> {
        self.covered_until
    }

    /// Whether no slice that it keeps has data.
    pub(super) fn is_empty(&self) -> bool {
        self.end().minutes == self.start().minutes
    }

    /// Where the first slice with data begins, by quarters of an hour.
    pub fn covered_from(&self) -> Option<i64> {
        for (at, day) in self.days.iter().enumerate() {
            if day.sum.minutes > 0 {
                let quarters = day.quarters();
                let first = quarters.iter().position(|sum| sum.minutes > 0).unwrap_or(0);
                return Some((self.first_day + at as i64) * DAY_MS + first as i64 * QUARTER_MS);
            }
        }
        let at = self.quarters.iter().position(|quarter| quarter.sum.minutes > 0)?;
        Some((self.first_quarter + at as i64) * QUARTER_MS)
    }

    /// Writes slices by their starts, which are multiples of their width. What was there before is
    /// replaced; in days of which only quarters are left, whole quarters are. Slices older than the
    /// retention are dropped.
    pub fn write(&mut self, slices: &[(i64, Slice)]) {
        let mut lowest: Option<i64> = None;
        let mut old: BTreeMap<i64, BTreeMap<usize, Sum>> = BTreeMap::new();
        for (start, slice) in slices {
            let quarter = start.div_euclid(QUARTER_MS);
            let end = start + self.slice_ms;
            if quarter < self.first_quarter {
                let day = start.div_euclid(DAY_MS);
                let at = (quarter - day * QUARTERS_PER_DAY) as usize;
                *old.entry(day).or_default().entry(at).or_default() += self.sum_of(*slice);
            } else if self.write_fine(quarter, *start, *slice) {
                lowest = Some(lowest.map_or(quarter, |other| other.min(quarter)));
                let changed = self.changed_quarters.entry(quarter).or_insert(end);
                *changed = (*changed).min(end);
            }
            if !slice.is_missing() {
                self.covered_until = Some(self.covered_until.map_or(end, |before| before.max(end)));
            }
        }
        let lowest_day = self.write_old(old);
        if lowest_day.is_some() {
            self.sum_up_days(lowest_day.unwrap_or(self.first_day));
        } else if let Some(quarter) = lowest {
            self.sum_up_quarters(quarter);
        }
    }

    fn sum_of(&self, slice: Slice) -> Sum {
        match slice.is_missing() {
            true => Sum::default(),
            false => Sum { bad: slice.bad, total: slice.total, minutes: self.slice_ms / 60_000 },
        }
    }

    /// Whether anything changed.
    fn write_fine(&mut self, quarter: i64, start: i64, slice: Slice) -> bool {
        let at = (quarter - self.first_quarter) as usize;
        if at >= self.quarters.len() {
            let running = self.end();
            self.quarters.resize(at + 1, Quarter { before: running, ..Quarter::default() });
        }
        let width = self.slice_ms;
        let within = ((start - quarter * QUARTER_MS) / width) as usize;
        let new = self.sum_of(slice);
        let block = &mut self.quarters[at];
        if within >= block.slices.len() {
            block.slices.resize(within + 1, Slice::MISSING);
        }
        let old = block.slices[within];
        let is_same = old == slice || (old.is_missing() && slice.is_missing());
        if is_same {
            return false;
        }
        block.slices[within] = slice;
        let old = self.sum_of(old);
        let block = &mut self.quarters[at];
        block.sum = block.sum - old + new;
        true
    }

    fn write_old(&mut self, old: BTreeMap<i64, BTreeMap<usize, Sum>>) -> Option<i64> {
        let fine_day = self.first_quarter.div_euclid(QUARTERS_PER_DAY);
        let first = fine_day + FINE_DAYS - RETENTION_DAYS;
        let mut lowest = None;
        for (day, quarters) in old.into_iter().filter(|(day, _)| *day >= first) {
            while self.first_day > day {
                let before = self.start();
                self.days.push_front(Day { before, ..Day::default() });
                self.first_day -= 1;
            }
            let block = &mut self.days[(day - self.first_day) as usize];
            let mut sums = block.quarters();
            for (at, sum) in quarters {
                sums[at] = sum;
            }
            *block = Day::of(&sums);
            self.changed_days.insert(day, ());
            lowest.get_or_insert(day);
        }
        lowest
    }

    fn sum_up_days(&mut self, from: i64) {
        let at = (from - self.first_day).max(0) as usize;
        let mut running = match at.checked_sub(1).and_then(|before| self.days.get(before)) {
            Some(day) => day.before + day.sum,
            None => self.days.front().map_or(Sum::default(), |day| day.before),
        };
        for day in self.days.iter_mut().skip(at) {
            day.before = running;
            running += day.sum;
        }
        for quarter in &mut self.quarters {
            quarter.before = running;
            running += quarter.sum;
        }
    }

    fn sum_up_quarters(&mut self, from: i64) {
        let at = (from - self.first_quarter).max(0) as usize;
        let Some(mut running) = self.quarters.get(at).map(|quarter| quarter.before) else { return };
        for quarter in self.quarters.iter_mut().skip(at) {
            quarter.before = running;
            running += quarter.sum;
        }
    }

    /// The running sum before everything that is kept.
    fn start(&self) -> Sum {
        let day = self.days.front().map(|day| day.before);
        day.or_else(|| self.quarters.front().map(|q| q.before)).unwrap_or_default()
    }

    /// The running sum after everything.
    fn end(&self) -> Sum {
        match (self.quarters.back(), self.days.back()) {
            (Some(quarter), _) => quarter.before + quarter.sum,
            (None, Some(day)) => day.before + day.sum,
            (None, None) => Sum::default(),
        }
    }

    /// The running sum at a moment, or at the border beside it.
    fn running(&self, at_ms: i64, round: Round) -> Sum {
        let borders = |within: i64, width: i64| match round {
            Round::Down => within / width,
            Round::Up => (within + width - 1) / width,
        };
        let quarter = at_ms.div_euclid(QUARTER_MS);
        if quarter >= self.first_quarter {
            let at = (quarter - self.first_quarter) as usize;
            let Some(block) = self.quarters.get(at) else { return self.end() };
            let count = borders(at_ms - quarter * QUARTER_MS, self.slice_ms) as usize;
            let slices = block.slices.iter().take(count);
            return slices.fold(block.before, |sum, slice| sum + self.sum_of(*slice));
        }
        let day = at_ms.div_euclid(DAY_MS);
        if day < self.first_day {
            return self.start();
        }
        let Some(block) = self.days.get((day - self.first_day) as usize) else {
            return self.quarters.front().map_or_else(|| self.end(), |quarter| quarter.before);
        };
        let count = borders(at_ms - day * DAY_MS, QUARTER_MS) as usize;
        block.quarters().iter().take(count).fold(block.before, |sum, quarter| sum + *quarter)
    }

    /// What a window had. Its ends are moved outwards to the next border.
    pub fn sum(&self, start_ms: i64, end_ms: i64) -> Sum {
        if end_ms <= start_ms {
            return Sum::default();
        }
        self.running(end_ms, Round::Up) - self.running(start_ms, Round::Down)
    }

    /// What a window had outside of stretches that do not count. They must ascend and not overlap.
    pub fn sum_without(&self, start_ms: i64, end_ms: i64, excluded: &[(i64, i64)]) -> Sum {
        let mut sum = self.sum(start_ms, end_ms);
        let mut from = start_ms;
        for (begin, end) in excluded {
            let (begin, end) = ((*begin).max(from), (*end).min(end_ms));
            if begin < end {
                sum = sum - self.sum(begin, end);
                // Stretches that share a slice must not take it off twice.
                from = self.border_after(end);
            }
        }
        Sum { bad: sum.bad.max(0.0), total: sum.total.max(0.0), minutes: sum.minutes.max(0) }
    }

    /// The slice, or the quarter of an hour, that a moment lies in.
    pub(super) fn slice_at(&self, at_ms: i64) -> Period {
        let is_fine = at_ms.div_euclid(QUARTER_MS) >= self.first_quarter;
        let width = if is_fine { self.slice_ms } else { QUARTER_MS };
        let start_ms = at_ms.div_euclid(width) * width;
        Period { start_ms, end_ms: start_ms + width }
    }

    fn border_after(&self, at_ms: i64) -> i64 {
        let is_fine = at_ms.div_euclid(QUARTER_MS) >= self.first_quarter;
        let width = if is_fine { self.slice_ms } else { QUARTER_MS };
        at_ms.div_euclid(width) * width + if at_ms.rem_euclid(width) > 0 { width } else { 0 }
    }

    /// Turns days into quarters whose slices are no longer needed, and forgets what is older than
    /// the retention.
    pub fn advance(&mut self, now_ms: i64) {
        let today = now_ms.div_euclid(DAY_MS);
        while self.first_quarter < (today - FINE_DAYS) * QUARTERS_PER_DAY {
            self.fold_day();
        }
        while self.first_day < today - RETENTION_DAYS {
            let Some(day) = self.days.pop_front() else { break };
            if !day.bytes.is_empty() {
                self.gone.push(codec::day_key(self.first_day));
            }
            self.changed_days.remove(&self.first_day);
            self.first_day += 1;
        }
    }

    fn fold_day(&mut self) {
        let day = self.first_quarter.div_euclid(QUARTERS_PER_DAY);
        let running = self.running(day * DAY_MS, Round::Down);
        let mut sums = [Sum::default(); QUARTERS_PER_DAY as usize];
        for sum in &mut sums {
            let quarter = self.first_quarter;
            if let Some(block) = self.quarters.pop_front() {
                *sum = block.sum;
                if !block.slices.is_empty() {
                    self.gone.push(codec::quarter_key(quarter));
                }
            }
            self.changed_quarters.remove(&quarter);
            self.first_quarter += 1;
        }
        if self.days.is_empty() {
            self.first_day = day;
        }
        let folded = Day { before: running, ..Day::of(&sums) };
        if folded.sum.minutes > 0 {
            self.changed_days.insert(day, ());
        }
        self.days.push_back(folded);
        // Without quarters the sums of what is written next begin where the days end.
    }

    /// The records that make the log say what this does, without slices that go on beyond `now`:
    /// these are read again after a restart. Keys follow the prefix.
    pub fn take_records(&mut self, prefix: &str, now_ms: i64) -> Vec<StateRecord> {
        let record = |key: &str, value| {
            let key = format!("{prefix}/{key}");
            StateRecord { kind: StateKind::SloSlice, key, value }
        };
        let mut records: Vec<StateRecord> =
            self.gone.drain(..).map(|key| record(&key, None)).collect();
        for (day, ()) in std::mem::take(&mut self.changed_days) {
            let Some(block) = self.days.get((day - self.first_day) as usize) else { continue };
            let value = (!block.bytes.is_empty()).then(|| block.bytes.to_vec());
            records.push(record(&codec::day_key(day), value));
        }
        let due: Vec<i64> = self
            .changed_quarters
            .iter()
            .filter(|(_, end)| **end <= now_ms)
            .map(|(q, _)| *q)
            .collect();
        for quarter in due {
            self.changed_quarters.remove(&quarter);
            let Some(block) = self.quarters.get((quarter - self.first_quarter) as usize) else {
                continue;
            };
            let value = codec::encode_quarter(self.slice_ms, &block.slices);
            records.push(record(&codec::quarter_key(quarter), Some(value)));
            let end = quarter * QUARTER_MS + block.slices.len() as i64 * self.slice_ms;
            if end > now_ms {
                self.changed_quarters.insert(quarter, end);
            }
        }
        records
    }

    /// Takes a quarter out of the log, before any other use; one of another width of slices is
    /// refused.
    pub(super) fn restore_quarter(&mut self, quarter: i64, width: i64, slices: Vec<Slice>) -> bool {
        if width != self.slice_ms {
            return false;
        }
        let start = quarter * QUARTER_MS;
        let slices: Vec<(i64, Slice)> = slices
            .into_iter()
            .enumerate()
            .map(|(at, slice)| (start + at as i64 * width, slice))
            .filter(|(_, slice)| !slice.is_missing())
            .collect();
        self.write(&slices);
        true
    }

    /// Takes a day out of the log, before any other use.
    pub(super) fn restore_day(&mut self, day: i64, quarters: &[Sum; 96]) {
        let quarters = quarters.iter().enumerate().filter(|(_, sum)| sum.minutes > 0);
        let quarters: BTreeMap<usize, Sum> = quarters.map(|(at, sum)| (at, *sum)).collect();
        let Some(last) = quarters.keys().next_back().copied() else { return };
        if day * QUARTERS_PER_DAY >= self.first_quarter {
            return;
        }
        let lowest = self.write_old(BTreeMap::from([(day, quarters)]));
        if let Some(lowest) = lowest {
            self.sum_up_days(lowest);
            let end = day * DAY_MS + (last as i64 + 1) * QUARTER_MS;
            self.covered_until = Some(self.covered_until.map_or(end, |before| before.max(end)));
        }
    }

    /// Says that the log has all of this.
    pub(super) fn mark_saved(&mut self) {
        self.changed_quarters.clear();
        self.changed_days.clear();
        self.gone.clear();
    }

    /// Bytes that it takes in memory, nearly.
    pub fn size_bytes(&self) -> usize {
        let quarters: usize = self.quarters.iter().map(|q| q.slices.capacity() * 16 + 72).sum();
        let days: usize = self.days.iter().map(|day| day.bytes.len() + 64).sum();
        quarters + days
    }
}

impl Day {
    fn of(quarters: &[Sum; 96]) -> Self {
        let sum = quarters.iter().fold(Sum::default(), |sum, quarter| sum + *quarter);
        let bytes = if sum.minutes > 0 { codec::encode_quarters(quarters) } else { Vec::new() };
        Self { before: Sum::default(), sum, bytes: bytes.into() }
    }

    fn quarters(&self) -> [Sum; 96] {
        if self.bytes.is_empty() {
            return [Sum::default(); 96];
        }
        // Written by `of` and nobody else, so it can be read.
        codec::decode_quarters(&self.bytes).unwrap_or([Sum::default(); 96])
    }
}

/// Builds a ledger from its records, given as the ends of their keys (`…/q/N`, `…/d/N`) and values;
/// records that cannot be read are left out. For tests; the engine restores whole states.
#[doc(hidden)]
pub fn restore_ledger<'a>(
    slice: Duration,
    now_ms: i64,
    records: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Ledger {
    let mut ledger = Ledger::new(slice, now_ms);
    for (key, value) in records {
        let _ = ledger.restore_record(key, value);
    }
    ledger.mark_saved();
    ledger
}

impl Ledger {
    /// Takes a record out of the log; says why it cannot be used, if so.
    pub(super) fn restore_record(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let mut parts = key.rsplit('/');
        let number: Option<i64> = parts.next().and_then(|number| number.parse().ok());
        let Some(number) = number else { return Err("the key has no number".into()) };
        match parts.next() {
            Some("q") => {
                let (width, slices) = decode_quarter(value).map_err(|e| e.to_string())?;
                match self.restore_quarter(number, width, slices) {
                    true => Ok(()),
                    false => Err("its slices have another width".into()),
                }
            }
            Some("d") => {
                let quarters = decode_quarters(value).map_err(|e| e.to_string())?;
                self.restore_day(number, &quarters);
                Ok(())
            }
            _ => Err("the key names neither a quarter nor a day".into()),
        }
    }
}

impl Ledger {
    /// The ends of the keys of all its records.
    pub(super) fn recorded_keys(&self) -> Vec<String> {
        let quarters = self.quarters.iter().enumerate().filter(|(_, q)| !q.slices.is_empty());
        let days = self.days.iter().enumerate().filter(|(_, day)| !day.bytes.is_empty());
        quarters
            .map(|(at, _)| codec::quarter_key(self.first_quarter + at as i64))
            .chain(days.map(|(at, _)| codec::day_key(self.first_day + at as i64)))
            .collect()
    }

    /// What each quarter of an hour had, from the one that holds `start` to the one before that which
    /// holds `end`.
    pub(super) fn quarter_sums(&self, start_ms: i64, end_ms: i64) -> Vec<Sum> {
        let (first, last) = (start_ms.div_euclid(QUARTER_MS), end_ms.div_euclid(QUARTER_MS));
        let mut sums = Vec::with_capacity((last - first).max(0) as usize);
        let mut decoded: Option<(i64, [Sum; 96])> = None;
        for quarter in first..last {
            if quarter >= self.first_quarter {
                let block = self.quarters.get((quarter - self.first_quarter) as usize);
                sums.push(block.map_or(Sum::default(), |block| block.sum));
                continue;
            }
            let day = quarter.div_euclid(QUARTERS_PER_DAY);
            if decoded.as_ref().is_none_or(|(known, _)| *known != day) {
                let block = (day >= self.first_day)
                    .then(|| self.days.get((day - self.first_day) as usize))
                    .flatten();
                decoded = Some((day, block.map_or([Sum::default(); 96], Day::quarters)));
            }
            let at = (quarter - day * QUARTERS_PER_DAY) as usize;
            sums.push(decoded.as_ref().map_or(Sum::default(), |(_, quarters)| quarters[at]));
        }
        sums
    }
}

/// Decodes arbitrary bytes; what decodes must be what it encodes to.
pub(super) fn fuzz_records(data: &[u8]) {
    if let Ok((width, slices)) = decode_quarter(data) {
        assert_eq!(codec::encode_quarter(width, &slices), data);
    }
    if let Ok(quarters) = decode_quarters(data) {
        assert_eq!(codec::encode_quarters(&quarters), data);
    }
}
