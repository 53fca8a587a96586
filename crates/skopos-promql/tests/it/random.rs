//! Seeded randomness, and random queries that are well typed by construction.

/// SplitMix64: small, and the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// A random expression that yields an instant vector.
pub(crate) fn vector(r: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return selector(r);
    }
    let d = depth - 1;
    match r.below(14) {
        0 => format!("({})", vector(r, d)),
        1 => format!("{}{}", r.pick(&["-", "+"]), vector(r, d)),
        2 => format!("{}({})", r.pick(&["abs", "ceil", "sort", "absent", "month"]), vector(r, d)),
        3 => format!(
            "{}({})",
            r.pick(&["rate", "sum_over_time", "present_over_time", "changes"]),
            matrix(r, d)
        ),
        4 => format!("quantile_over_time({}, {})", scalar(r, d), matrix(r, d)),
        5 => {
            let op = r.pick(&["sum", "MAX", "count", "stddev", "group"]);
            let grouping = grouping(r);
            if r.chance(50) {
                format!("{op}{grouping} ({})", vector(r, d))
            } else {
                format!("{op}({}){grouping}", vector(r, d))
            }
        }
        6 => {
            let op = r.pick(&["topk", "quantile", "limitk", "limit_ratio"]);
            format!("{op}{} ({}, {})", grouping(r), scalar(r, d), vector(r, d))
        }
        7 => format!("count_values{} (\"x.y\", {})", grouping(r), vector(r, d)),
        8 | 9 => {
            let op = r.pick(&["+", "*", "^", "%", "atan2", "==", ">= bool", "</"]);
            let matching = matching(r);
            format!("{} {op}{matching} {}", vector(r, d), vector(r, d))
        }
        10 => format!("{} {} {}", vector(r, d), r.pick(&["/", "!= bool", "-"]), scalar(r, d)),
        11 => {
            let op = r.pick(&["and", "or", "unless"]);
            let on = r.pick(&["", " on(a)", " ignoring(b, \"c.d\")", " on()"]);
            format!("{} {op}{on} {}", vector(r, d), vector(r, d))
        }
        12 => format!("label_replace({}, \"a\", \"$1\", 'b', `(.*)\\d`)", vector(r, d)),
        _ => selector(r),
    }
}

fn grouping(r: &mut Random) -> &'static str {
    r.pick(&["", " by (a)", " without (a, \"b.c\")", " by ()", " without ()", " by (sum, le)"])
}

fn matching(r: &mut Random) -> &'static str {
    r.pick(&[
        "",
        " on(a)",
        " ignoring(a, b) group_left",
        " on(a) group_right(\"x.y\", z)",
        " fill(0)",
        " fill_left(-1.5) fill_right(NaN)",
        " on() group_left () fill_right(Inf)",
    ])
}

fn scalar(r: &mut Random, depth: usize) -> String {
    match r.below(if depth == 0 { 6 } else { 9 }) {
        0 => "0.5".into(),
        1 => "1e9".into(),
        2 => "0x1f".into(),
        3 => "5m".into(),
        4 => "Inf".into(),
        5 => "time()".into(),
        6 => format!("-{}", scalar(r, depth - 1)),
        7 => format!("({} * {})", scalar(r, depth - 1), scalar(r, depth - 1)),
        _ => format!("scalar({})", vector(r, depth - 1)),
    }
}

fn selector(r: &mut Random) -> String {
    let base = r.pick(&[
        "up",
        "job:up:sum{a=\"b\"}",
        "{\"http.requests\", \"k8s.pod\"=~\"a|b\"}",
        "{__name__!~\"x\", a!=\"\", b=\"\"}",
        "sum",
        "offset{by=\"x\\\"\\n\"}",
        "fill{a='b'}",
    ]);
    format!("{base}{}", modifiers(r))
}

fn modifiers(r: &mut Random) -> &'static str {
    r.pick(&[
        "",
        "",
        " offset 5m",
        " @ start() offset -1h30m",
        " offset (2 * 5m) @ 1.5",
        " @ -10",
        " offset min_of(step(), 5s)",
    ])
}

fn matrix(r: &mut Random, depth: usize) -> String {
    let range =
        r.pick(&["5m", "1h30m", "300", "step() + 1", "max_of(5m, -range() * 2) % 7m", "2^3"]);
    if depth > 0 && r.chance(40) {
        let step = r.pick(&["", "1m", "step() * 2"]);
        return format!("({})[{range}:{step}]{}", vector(r, depth - 1), modifiers(r));
    }
    let base = r.pick(&["up", "a:b{c=\"d\"}", "{\"x.y\"}"]);
    let mode = if r.chance(10) { r.pick(&[" anchored", " smoothed"]) } else { "" };
    format!("{base}[{range}]{mode}{}", modifiers(r))
}
