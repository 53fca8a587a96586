//! What flows into a value, within one file: assignments are followed backwards, loops and helpers of the file are looked
//! into, calls of others are looked through by name only.
//!
//! The work for one value is bounded by [`BUDGET`], whatever the file says: variables that are made of each other,
//! helpers that call each other, texts that are put together of thousands of pieces.

mod index;
mod origins;
mod request;
mod typed;

pub(super) use index::Index;
pub(crate) use request::is_client_call;

use super::builder::placeholders;
use super::ir::{Assign, Call, Expr, Module};
use crate::Span;
use crate::fact::{Field, Source};
use crate::sensitive::{says_clean, says_other, says_small};
pub(super) use origins::looked_up;

use origins::key_of;

/// How many assignments are followed.
const STEPS: usize = 3;

/// How many expressions are looked at for one value.
const BUDGET: usize = 600;

/// How many sources one value may have.
const SOURCES: usize = 64;

/// The call that stands for one of a collection's values in a loop.
pub(crate) const EACH: &str = "[each]";

/// What an origin begins with that is the key of a mapping which a value stands under.
pub(crate) const KEY: char = '=';

/// The call that stands for what was taken out of a value before its use.
const OMIT: &str = "omit";

/// The call that leaves a part of a text.
pub(crate) const PART: &str = "[:]";

/// What is found on the way, and how far the way may still go.
struct Walk {
    found: Vec<Source>,
    left: usize,
}

/// Where an expression stands and what is around it.
#[derive(Clone, Copy)]
struct Place<'w> {
    function: Option<usize>,
    wrapped: &'w [String],
    only_truth: bool,
    depth: usize,
}

impl<'w> Place<'w> {
    fn deeper(self, by: usize) -> Self {
        Self { depth: self.depth + by, ..self }
    }
}

impl Module {
    /// What is logged by an expression: mappings are taken apart into named fields.
    pub(crate) fn fields(
        &self,
        name: Option<&str>,
        expr: &Expr,
        function: Option<usize>,
    ) -> Vec<Field> {
        let mut fields = Vec::new();
        self.fields_into(name, expr, function, 0, &mut fields);
        fields
    }

    fn fields_into(
        &self,
        name: Option<&str>,
        expr: &Expr,
        function: Option<usize>,
        depth: usize,
        fields: &mut Vec<Field>,
    ) {
        if let Expr::Dict(pairs, _) = expr
            && depth < 6
        {
            let cleans = takes_back(pairs);
            for (key, value) in pairs {
                let full = match (name, key) {
                    (Some(name), Some(key)) => Some(format!("{name}.{key}")),
                    (None, Some(key)) => Some(key.clone()),
                    (name, None) => name.map(str::to_owned),
                };
                if key.is_none() && cleans {
                    continue;
                }
                self.fields_into(full.as_deref(), value, function, depth + 1, fields);
            }
            return;
        }
        fields.push(Field {
            name: name.map(str::to_owned),
            span: expr.span(),
            literal: expr.text().map(str::to_owned),
            sources: self.sources(expr, function),
        });
    }

    /// What flows into a value.
    pub(crate) fn sources(&self, expr: &Expr, function: Option<usize>) -> Vec<Source> {
        let mut walk = Walk { found: Vec::new(), left: BUDGET };
        let place = Place { function, wrapped: &[], only_truth: false, depth: 0 };
        self.collect(expr, place, &mut walk);
        walk.found
    }

    fn collect(&self, expr: &Expr, place: Place<'_>, walk: &mut Walk) {
        if place.depth > 12 || walk.left == 0 || walk.found.len() > SOURCES {
            return;
        }
        walk.left -= 1;
        let inner = place.deeper(1);
        match expr {
            Expr::Path(path, span) => self.collect_path(path, *span, place, walk),
            Expr::Interpolated(_, parts, _)
            | Expr::List(parts, _)
            | Expr::Join(parts, _)
            | Expr::Other(parts, _)
            | Expr::Choice(_, parts, _) => {
                for part in parts {
                    self.collect(part, inner, walk);
                }
            }
            Expr::Dict(pairs, _) => {
                let cleans = takes_back(pairs);
                for (key, value) in pairs {
                    if key.is_none() && cleans {
                        continue;
                    }
                    let before = walk.found.len();
                    self.collect(value, inner, walk);
                    // `{"password": x}` logs a password, whatever the variable is called.
                    if let (Some(key), Some(first)) = (key, walk.found.get_mut(before)) {
                        first.origins.push(format!("{KEY}{key}"));
                    }
                }
            }
            Expr::Truth(parts, _) => {
                for part in parts {
                    self.collect(part, Place { only_truth: true, ..inner }, walk);
                }
            }
            Expr::Call(at, span) => {
                if let Some(call) = self.calls.get(*at) {
                    self.collect_call(call, *span, place, walk);
                }
            }
            Expr::Str(..)
            | Expr::Number(..)
            | Expr::Bool(..)
            | Expr::Null(_)
            | Expr::Function(..) => {}
        }
    }

    fn collect_path(&self, path: &str, span: Span, place: Place<'_>, walk: &mut Walk) {
        let source = self.source(path, span, place);
        let is_cleaned = source.wrapped.first().is_some_and(|call| call == OMIT);
        walk.found.push(source);
        if is_cleaned {
            return;
        }
        self.collect_contents(path, span, place, walk);
        let Some(assign) = self.expanded(path, span, place.function) else { return };
        let function = assign.at.function.or(place.function);
        self.collect(&assign.value, Place { function, ..place.deeper(3) }, walk);
    }

    /// The assignment whose value a variable stands for as a whole: texts put together, mappings, what a call handed on.
    fn expanded(&self, path: &str, span: Span, function: Option<usize>) -> Option<&Assign> {
        // `cookie.Value` of a cookie in a loop is all of it.
        let root = path.strip_suffix(".Value").or_else(|| path.strip_suffix(".value"));
        let is_value = root.is_some();
        let root = root.unwrap_or(path);
        if root.contains('.') || says_other(root) {
            return None;
        }
        let mut nth = self.last_value(root, span, function)?;
        let mut assign = self.assigns.get(nth)?;
        // `a = b`, and what b was made of.
        for _ in 0..STEPS {
            let Expr::Path(from, _) = &assign.value else { break };
            if from.contains('.') || says_other(from) {
                break;
            }
            nth = self.last_value(from, assign.span, assign.at.function)?;
            assign = self.assigns.get(nth)?;
        }
        let (is_whole, is_call) = match &assign.value {
            Expr::Dict(..) | Expr::Interpolated(..) | Expr::Join(..) => (true, false),
            Expr::List(..) | Expr::Choice(..) => (assign.at.function.is_some(), false),
            Expr::Call(at, _) => {
                let call = self.calls.get(*at)?;
                // Of several names of one call, the others are errors and states.
                let is_first = || {
                    let before = nth.checked_sub(1).and_then(|at| self.assigns.get(at));
                    before.is_none_or(|before| before.span != assign.span)
                };
                let plain = !says_clean(&call.callee) && is_first();
                // Texts put together are constants too.
                let is_text = matches!(call.name(), "format" | "format!" | "Sprintf" | "join");
                ((assign.at.function.is_some() || is_text) && plain, true)
            }
            _ => (false, false),
        };
        let is_each = || match &assign.value {
            Expr::Call(at, _) => self.calls.get(*at).is_some_and(|call| call.callee == EACH),
            _ => false,
        };
        (is_whole && (!is_value || is_each()) && !(is_call && says_small(root))).then_some(assign)
    }

    /// What was put into a mapping, a list or a text in the making before its use, in the same function.
    fn collect_contents(&self, root: &str, span: Span, place: Place<'_>, walk: &mut Walk) {
        const PUTS: [&str; 10] = [
            "put",
            "set",
            "append",
            "add",
            "update",
            "insert",
            "extend",
            "push",
            "push_str",
            "WriteString",
        ];
        if root.contains('.') || place.depth > 6 {
            return;
        }
        let Some(made) = self.last_value(root, span, place.function) else { return };
        let made = &self.assigns[made];
        let is_container = match &made.value {
            Expr::Dict(..) | Expr::List(..) => true,
            Expr::Call(at, _) => self.calls.get(*at).is_some_and(makes_container),
            _ => false,
        };
        if !is_container || made.at.function != place.function || says_other(root) {
            return;
        }
        let inner = place.deeper(2);
        let is_since =
            |at: Span, of: Option<usize>| of == place.function && at.start >= made.span.end;
        let mut take = |key: Option<&str>, value: &Expr| {
            let before = walk.found.len();
            self.collect(value, inner, walk);
            if let (Some(key), Some(first)) = (key, walk.found.get_mut(before)) {
                first.origins.push(format!("{KEY}{key}"));
            }
        };
        for assign in self.assigns_within(root, span).take(16) {
            if is_since(assign.span, assign.at.function) {
                take(assign.target.rsplit('.').next().filter(|key| *key != "[]"), &assign.value);
            }
        }
        for call in self.calls_on(root, span).take(16) {
            if PUTS.contains(&call.name()) && is_since(call.span, call.at.function) {
                let key = call.positional(0).and_then(Expr::text).filter(|_| call.args.len() > 1);
                if let Some(arg) = call.args.last() {
                    take(key, &arg.value);
                }
            }
        }
    }

    fn collect_call(&self, call: &Call, span: Span, place: Place<'_>, walk: &mut Walk) {
        if let Some(path) = looked_up(call) {
            let mut source = self.source(&path, span, place);
            if self.is_cookies(call.object(), span, place.function) {
                source
                    .origins
                    .push(format!("request.cookies.{}", key_of(call).unwrap_or_default()));
            }
            walk.found.push(source);
            return;
        }
        // `auth[7:]`, `auth.substring(7)`: only what stands before the token is taken off.
        let takes_off = takes_off_start(call);
        if !takes_off {
            // Without a name, all of the environment.
            let path = match (call.callee.as_str(), call.args.is_empty()) {
                ("System.getenv", true) => call.callee.clone(),
                _ => format!("{}()", call.callee),
            };
            let told = self.aliased(&path, span, place.function);
            let origins = told
                .or_else(|| self.of_types(&path, span, place.function))
                .or_else(|| self.handed(&path, place.function))
                .into_iter()
                .collect();
            let wrapped = place.wrapped.to_vec();
            let only_truth = place.only_truth;
            let object = call.object();
            let is_variable = !object.is_empty() && !object.contains(['.', '(']);
            let owner = is_variable.then(|| self.declared(object, span, place.function)).flatten();
            let declared = None;
            walk.found.push(Source { path, origins, wrapped, only_truth, declared, owner });
            self.collect_helper(call, place, walk);
        }
        let mut wrapped = Vec::with_capacity(place.wrapped.len() + 1);
        wrapped.push(match () {
            () if takes_off => "trim".to_owned(),
            () if self.only_reads(call) => "loads".to_owned(),
            () => call.callee.clone(),
        });
        wrapped.extend_from_slice(place.wrapped);
        let inner = Place { wrapped: &wrapped, ..place.deeper(1) };
        if let Some(receiver) = call.receiver {
            self.collect(&Expr::Call(receiver, span), inner, walk);
        } else if !call.object().is_empty() {
            self.collect(&Expr::Path(call.object().to_owned(), span), inner, walk);
        }
        // The names in the braces of a format are arguments too.
        if call.callee.ends_with("format!")
            && let Some(text) = call.positional(0).and_then(Expr::text)
        {
            for name in placeholders(text).1 {
                self.collect(&Expr::Path(name, span), inner, walk);
            }
        }
        for arg in &call.args {
            self.collect(&arg.value, inner, walk);
        }
    }

    /// Whether a call only reads what was written, or hands on what is in it: `gson.fromJson(body, JsonObject.class)`,
    /// `cookie.map(|c| c.value().to_string())`.
    fn only_reads(&self, call: &Call) -> bool {
        let Some(last) = call.args.last() else { return false };
        match (call.name(), &last.value) {
            ("fromJson" | "readValue", Expr::Path(of, _)) => {
                matches!(
                    of.trim_end_matches(".class"),
                    "JsonObject" | "JsonNode" | "JsonElement" | "Map" | "Object"
                )
            }
            ("fromJson" | "readValue", Expr::Other(parts, _)) => parts.iter().any(|part| {
                matches!(
                    part.path(),
                    Some("JsonObject" | "JsonNode" | "JsonElement" | "Map" | "Object")
                )
            }),
            ("map" | "and_then", Expr::Function(function, _)) => {
                let mut values = self.returns_of(*function);
                matches!((values.next(), values.next()), (Some(value), None) if self.is_value(value, 0))
            }
            _ => false,
        }
    }

    /// Whether an expression is a variable or what it holds, in whatever form.
    fn is_value(&self, value: &Expr, depth: usize) -> bool {
        const KEEPS: [&str; 14] = [
            "value",
            "to_string",
            "to_owned",
            "as_str",
            "to_str",
            "ok",
            "unwrap",
            "unwrap_or",
            "unwrap_or_default",
            "trim",
            "clone",
            "into",
            "toString",
            "String",
        ];
        match value {
            Expr::Path(path, _) => !path.contains('.') || path.ends_with(".value"),
            Expr::Call(at, span) if depth < 6 => self.calls.get(*at).is_some_and(|call| {
                KEEPS.contains(&call.name())
                    && match call.receiver {
                        Some(receiver) => self.is_value(&Expr::Call(receiver, *span), depth + 1),
                        None => !call.object().contains('.'),
                    }
            }),
            _ => false,
        }
    }

    /// What a function of this file gives back is what it returns, where there is only one of its name.
    fn collect_helper(&self, call: &Call, place: Place<'_>, walk: &mut Walk) {
        let is_own =
            call.receiver.is_none() && matches!(call.object(), "" | "self" | "this" | "c" | "s");
        if !is_own || place.depth > 6 || says_clean(call.name()) {
            return;
        }
        let mut named = self.functions_of(call.name());
        let (Some((function, _)), None) = (named.next(), named.next()) else { return };
        for value in self.returns_of(function).take(4) {
            let value = match value {
                Expr::Other(parts, _) if !parts.is_empty() => &parts[0],
                other => other,
            };
            let is_made = matches!(
                value,
                Expr::Dict(..)
                    | Expr::Path(..)
                    | Expr::Interpolated(..)
                    | Expr::Join(..)
                    | Expr::Call(..)
            );
            if is_made {
                let function = Some(function);
                self.collect(value, Place { function, ..place.deeper(4) }, walk);
            }
        }
    }

    fn source(&self, path: &str, span: Span, place: Place<'_>) -> Source {
        let function = place.function;
        let mut origins = self.origins(path, span, function);
        let declared = self.declared(path, span, function).or_else(|| {
            // What a variable was made from whole has the type of that.
            let from = origins.first().filter(|from| !from.contains(['.', '(']))?;
            self.declared(from, span, function)
        });
        origins.extend(self.aliased(path, span, function));
        let made_of = origins.last().filter(|from| from.ends_with("()"));
        let of = made_of.map_or(path, String::as_str);
        let by_type =
            self.of_types(path, span, function).or_else(|| self.of_types(of, span, function));
        origins.extend(by_type);
        let handed = origins.iter().find_map(|from| self.handed(from, function));
        origins.extend(handed.or_else(|| self.handed(path, function)));
        let mut wrapped = place.wrapped.to_vec();
        if !path.contains('.') {
            match self.filled(path, span, function) {
                Some(request::Filled::With(origin)) => origins.push(origin),
                // What was taken out of it is told as a call that leaves it out.
                Some(request::Filled::Cleaned) => wrapped.insert(0, OMIT.to_owned()),
                None if self.is_plain_address(path, span, function) => {
                    wrapped.insert(0, OMIT.to_owned());
                }
                None => {}
            }
        }
        let owner = match path.split_once('.') {
            Some((root, rest)) if !rest.contains('.') => self.declared(root, span, function),
            _ => None,
        };
        let only_truth = place.only_truth;
        Source { path: path.to_owned(), origins, wrapped, only_truth, declared, owner }
    }

    /// The value that a plain variable was last given before this place: in this function or one around it, or once for
    /// all in the file.
    fn last_value(&self, name: &str, before: Span, function: Option<usize>) -> Option<usize> {
        let is_near = |a: &Assign| {
            a.at.function.is_some()
                && (a.at.function == function || self.is_around(a.at.function, function))
        };
        // What a failure leaves (`except: payload = {}`) is not what was read.
        let is_left = |a: &Assign| {
            let is_nothing = match &a.value {
                Expr::Null(_) | Expr::Str(..) => true,
                Expr::Dict(pairs, _) => pairs.is_empty(),
                Expr::List(items, _) => items.is_empty(),
                _ => false,
            };
            a.at.catch.is_some() && is_nothing
        };
        let near = || self.assigns_before(name, before).filter(|(_, a)| is_near(a));
        if let Some((at, _)) = near().find(|(_, a)| !is_left(a)).or_else(|| near().next()) {
            return Some(at);
        }
        let is_param = |function: usize| {
            self.functions.get(function).is_some_and(|f| f.params.iter().any(|(p, _)| p == name))
        };
        if self.functions_around(function).any(is_param) {
            return None;
        }
        let mut all = self.assigns_to(name);
        match (all.next(), all.next()) {
            (Some((at, only)), None) if only.at.function.is_none() => Some(at),
            _ => None,
        }
    }

    fn is_around(&self, outer: Option<usize>, inner: Option<usize>) -> bool {
        outer.is_some_and(|outer| self.functions_around(inner).any(|at| at == outer))
    }

    /// A function and those around it, the innermost first.
    fn functions_around(&self, function: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(function, |at| self.functions.get(*at).and_then(|f| f.parent))
    }

    /// The declared type of a variable or parameter, or the type it was made of (`Credentials{…}`).
    pub(crate) fn declared(
        &self,
        path: &str,
        before: Span,
        function: Option<usize>,
    ) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(a, b)| (a, b));
        let params = self
            .functions_around(function)
            .filter_map(|at| self.functions.get(at))
            .flat_map(|f| &f.params);
        let of_param = params.filter(|(name, _)| name == root).find_map(|(_, t)| t.clone());
        let of_assign = || {
            let visible =
                |of: Option<usize>| of.is_none() || of == function || self.is_around(of, function);
            let nearest = self.assigns_before(root, before).find(|(_, a)| visible(a.at.function));
            let (_, assign) =
                nearest.or_else(|| self.assigns_to(root).find(|(_, a)| visible(a.at.function)))?;
            assign.declared.clone().or_else(|| self.made_of(&assign.value))
        };
        let declared = of_param.or_else(of_assign)?;
        if rest.is_empty() {
            return Some(declared);
        }
        // A field of a type of the same file.
        let (field, deeper) = rest.split_once('.').map_or((rest, ""), |(a, b)| (a, b));
        let owner = declared.trim_start_matches(['&', '*']);
        let of = self.types.iter().find(|t| t.name == owner)?;
        let found = of.fields.iter().find(|(name, _)| name == field).map(|(_, t)| t.clone());
        found.filter(|_| deeper.is_empty())
    }

    /// The type that a value is made of: `Credentials{…}`, `new Credentials(…)`, `Credentials(…)`.
    fn made_of(&self, value: &Expr) -> Option<String> {
        let Expr::Call(at, _) = value else { return None };
        let call = self.calls.get(*at)?;
        let name = call.name().trim_start_matches("new ");
        let is_literal = matches!(
            call.args.first().map(|arg| &arg.value),
            Some(Expr::Dict(..) | Expr::List(..))
        );
        let is_known = self.types.iter().any(|of| of.name == name);
        let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
        if is_type && (is_known || is_literal) || is_known && is_literal {
            return Some(name.to_owned());
        }
        self.constructed(call)
    }

    /// The type whose function made a value: `Config::from_env()`, `Settings::parse(path).expect("…")`.
    fn constructed(&self, call: &Call) -> Option<String> {
        const MAKES: [&str; 14] = [
            "new",
            "parse",
            "try_parse",
            "from_env",
            "load",
            "default",
            "read",
            "from_file",
            "from_args",
            "from_path",
            "init",
            "get",
            "from",
            "open",
        ];
        const KEEPS: [&str; 5] =
            ["expect", "unwrap", "unwrap_or_default", "clone", "unwrap_or_else"];
        let mut call = call;
        for _ in 0..4 {
            match call.receiver.and_then(|at| self.calls.get(at)) {
                Some(receiver) if KEEPS.contains(&call.name()) => call = receiver,
                Some(_) => return None,
                None => break,
            }
        }
        let of = call.object().rsplit('.').next()?;
        let is_type = of.len() > 1
            && of.starts_with(|c: char| c.is_ascii_uppercase())
            && of.chars().any(|c| c.is_ascii_lowercase());
        (is_type && MAKES.contains(&call.name())).then(|| of.to_owned())
    }
}

/// Whether a call makes something that is filled later: a mapping, a list, a text.
fn makes_container(call: &Call) -> bool {
    const MAKES: [&str; 14] = [
        "dict",
        "list",
        "HashMap",
        "LinkedHashMap",
        "TreeMap",
        "ConcurrentHashMap",
        "ArrayList",
        "StringBuilder",
        "StringBuffer",
        "StringIO",
        "OrderedDict",
        "make",
        "new Map",
        "new URLSearchParams",
    ];
    MAKES.contains(&call.name())
        || matches!(call.callee.as_str(), "HashMap.new" | "BTreeMap.new" | "String.new" | "Vec.new")
}

/// Whether a mapping takes secrets out of what it spreads: `{...user, password: undefined}`.
fn takes_back(pairs: &[(Option<String>, Expr)]) -> bool {
    let spreads = pairs.iter().any(|(key, _)| key.is_none());
    spreads
        && pairs.iter().any(|(key, value)| {
            let is_plain = matches!(value, Expr::Null(_) | Expr::Str(..) | Expr::Bool(..));
            is_plain && key.as_deref().is_some_and(request::opens)
        })
}

/// Whether a call takes only the first few letters off: `auth.slice(7)`.
fn takes_off_start(call: &Call) -> bool {
    let first = call.args.first().map(|arg| &arg.value);
    matches!(call.name(), "slice" | "substring" | "substr")
        && call.args.len() == 1
        && matches!(first, Some(Expr::Number(n, _)) if n.parse::<u8>().is_ok_and(|n| n <= 8))
}
