//! Guards: what stands before every route and refuses whoever does not say who they are.
//!
//! Whether a function of this file is one is read from its own lines: it answers 401 (or 403, where it speaks of credentials),
//! and the paths that it names are such as everybody may ask for. One that speaks of other paths, or of paths that cannot be
//! made out, may stand before some routes only and counts as none. What comes from elsewhere is told by its name.

mod go;
mod java;
mod javascript;
mod python;
mod rust;

use super::classify::Classify;
use super::ir::{Call, Expr, Module};
use super::shared::names_auth;
use crate::{Fact, FactKind, Language, Span};

/// Adds what guards every route to the facts of a file.
pub(crate) fn tell(text: &str, module: &Module, language: Language, facts: &mut Vec<Fact>) {
    let (markers, find): (&[&str], fn(&mut Guards<'_>)) = match language {
        Language::Python => (&python::MARKERS, python::find),
        Language::JavaScript | Language::TypeScript => (&javascript::MARKERS, javascript::find),
        Language::Go => (&go::MARKERS, go::find),
        Language::Rust => (&rust::MARKERS, rust::find),
        Language::Java => (&java::MARKERS, java::find),
        Language::Other => return,
    };
    if markers.iter().any(|marker| text.contains(marker)) {
        let mut guards = Guards { text, c: Classify::new(module), language };
        find(&mut guards);
        facts.append(&mut guards.c.facts);
    }
}

/// A file whose guards are looked for.
struct Guards<'m> {
    text: &'m str,
    c: Classify<'m>,
    language: Language,
}

/// What guards: by what, and which paths it lets pass.
struct Guard {
    by: String,
    except: Vec<String>,
}

impl Guards<'_> {
    fn push(&mut self, call: &Call, guard: Guard) {
        let Guard { by, except } = guard;
        // In a chain the call itself is meant, not what it is made on.
        let span = Span { start: call.name_span.start, end: call.span.end };
        self.c.push(span, call.at, FactKind::AuthEverywhere { by, except });
    }

    /// The guard that an expression is: a function, a name, or a call that makes one.
    fn guard(&self, expr: &Expr) -> Option<Guard> {
        let module = self.c.module;
        match expr {
            Expr::Function(index, _) => {
                let function = module.functions.get(*index)?;
                let answers = function.params.first().is_some_and(|(name, _)| is_error(name));
                let except = self.refusal(&[function.span]).filter(|_| !answers)?;
                Some(Guard { by: self.shown(&function.name), except })
            }
            Expr::Path(path, _) => self.named(path),
            Expr::Call(at, span) => {
                let call = module.calls.get(*at)?;
                let mut guard = self.named(call.callee.trim_start_matches("new "))?;
                let inside = module.calls.iter().filter(|other| span.contains(other.span));
                for arg in inside.flat_map(|other| &other.args) {
                    texts(&arg.value, 0, &mut guard.except);
                }
                guard.except.retain(|text| is_path(text));
                Some(guard)
            }
            _ => None,
        }
    }

    /// The guard of a name: what is defined in this file is read, all else is told by how it is called.
    fn named(&self, path: &str) -> Option<Guard> {
        let last = path.rsplit('.').next().unwrap_or(path);
        let is_bare = !path.contains('.') || path.starts_with("self.");
        if is_bare && let Some(spans) = self.defined(last) {
            return Some(Guard { by: path.to_owned(), except: self.refusal(&spans)? });
        }
        let lower = path.to_lowercase();
        let words = ["verifytoken", "ensureloggedin", "apikey", "api_key", "validaterequestheader"];
        // Routers of the log-in itself are no guard.
        let is_other = ["rout", "initialize", "controller", "session"];
        let is_guard = (names_auth(path) || words.iter().any(|word| lower.contains(word)))
            && !is_other.iter().any(|word| lower.contains(word));
        is_guard.then(|| Guard { by: path.to_owned(), except: Vec::new() })
    }

    /// Where a function, a class with its methods, or a function in a variable of this name stands.
    fn defined(&self, name: &str) -> Option<Vec<Span>> {
        let module = self.c.module;
        let functions = module.functions.iter();
        let mut spans: Vec<Span> = functions
            .filter(|f| f.name == name || f.class.as_deref() == Some(name))
            .map(|f| f.span)
            .collect();
        spans.extend(module.assigns.iter().filter(|a| a.target == name).filter_map(|a| {
            match &a.value {
                Expr::Function(index, _) => Some(module.functions.get(*index)?.span),
                _ => None,
            }
        }));
        (!spans.is_empty()).then_some(spans)
    }

    /// Whether what stands there refuses, itself or by a function of this file that it calls; then, which paths it lets
    /// pass.
    fn refusal(&self, spans: &[Span]) -> Option<Vec<String>> {
        let module = self.c.module;
        let mut all = spans.to_vec();
        let calls = module.calls.iter().filter(|call| spans.iter().any(|s| s.contains(call.span)));
        for call in calls.filter(|call| call.object().is_empty()) {
            let found = module.functions.iter().filter(|f| f.name == call.callee);
            all.extend(found.map(|f| f.span).filter(|span| !spans.contains(span)).take(2));
        }
        let bodies: Vec<Body> = all.iter().take(8).map(|span| self.body(*span)).collect();
        let code = bodies.iter().map(|body| body.code.as_str()).collect::<Vec<_>>().join("\n");
        let lower = code.to_lowercase();
        let mut said: Vec<String> = bodies.into_iter().flat_map(|body| body.literals).collect();
        let credentials =
            ["authoriz", "token", "apikey", "api_key", "jwt", "bearer", "credential", "is_authent"];
        let names_credentials = |text: &str| {
            let lower = text.to_lowercase().replace('-', "_");
            credentials.iter().any(|word| lower.contains(word)) || lower.contains("x_api")
        };
        let forbids = says(&code, &["403", "orbidden", "FORBIDDEN", "PermissionDenied"])
            && (names_credentials(&code) || said.iter().any(|text| names_credentials(text)))
            && !lower.contains("csrf");
        if !forbids && !says(&code, &["401", "nauthorized", "UNAUTHORIZED", "jwtVerify"]) {
            return None;
        }
        // It asks who may do what, or is told elsewhere whom to let pass.
        let by_method = ["POST", "PUT", "PATCH", "DELETE", "GET"];
        let is_partial = said.iter().any(|text| by_method.contains(&text.as_str()))
            || ["methodpost", "methodget", "method::", "is_public", "exempt", "getattr"]
                .iter()
                .any(|word| lower.contains(word));
        if is_partial {
            return None;
        }
        for assign in module.assigns.iter().filter(|assign| assign.at.function.is_none()) {
            let name = assign.target.rsplit('.').next().unwrap_or_default();
            if code.contains(name) && !name.is_empty() {
                let mut values = Vec::new();
                texts(&assign.value, 0, &mut values);
                said.extend(values.into_iter().filter(|text| is_path(text)));
            }
        }
        if said.iter().any(|text| text.contains("metrics") || text.contains("prometheus")) {
            return None;
        }
        let paths: Vec<String> = said.iter().filter(|text| is_path(text)).cloned().collect();
        let asks_for_path = [
            ".path",
            ".endpoint",
            ".url",
            "pathname",
            "originalurl",
            "routepath",
            "routeoptions",
            ".uri(",
        ]
        .iter()
        .any(|word| lower.contains(word));
        let is_clear = !asks_for_path || said.iter().any(|text| is_open(text));
        (is_clear && paths.iter().all(|path| is_open(path))).then_some(paths)
    }

    fn shown(&self, name: &str) -> String {
        let is_named = !name.is_empty() && name != "<anonymous>";
        if is_named { name.to_owned() } else { "a hook that refuses".to_owned() }
    }

    /// Code and literals of a piece of the file.
    fn body(&self, span: Span) -> Body {
        let text = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let quotes: &[char] = match self.language {
            Language::Rust | Language::Java => &['"'],
            Language::Go => &['"', '`'],
            _ => &['"', '\'', '`'],
        };
        Body::of(text, quotes)
    }
}

/// A piece of code, taken apart.
#[derive(Default)]
struct Body {
    /// Without what stands in quotes, and without comments that have a line of their own.
    code: String,
    literals: Vec<String>,
}

impl Body {
    fn of(text: &str, quotes: &[char]) -> Self {
        let mut body = Self::default();
        for line in text.lines() {
            let shown = line.trim_start();
            if shown.starts_with("//") || shown.starts_with('#') || shown.starts_with('*') {
                continue;
            }
            let mut open: Option<(char, String)> = None;
            let mut characters = line.chars();
            while let Some(c) = characters.next() {
                match &mut open {
                    Some((quote, _)) if c == *quote => {
                        body.literals.extend(open.take().map(|(_, literal)| literal));
                        body.code.push('"');
                    }
                    Some((_, literal)) => {
                        literal.push(c);
                        if c == '\\' {
                            literal.extend(characters.next());
                        }
                    }
                    None if quotes.contains(&c) => {
                        open = Some((c, String::new()));
                        body.code.push('"');
                    }
                    None => body.code.push(c),
                }
            }
            body.code.push('\n');
        }
        body
    }
}

/// Whether code gives one of these as an answer, rather than comparing an answer with it.
fn says(code: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        code.match_indices(word).any(|(at, found)| {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':');
            let before = code.get(..at).unwrap_or_default();
            let after = code.get(at + found.len()..).unwrap_or_default().trim_start();
            let is_number = found.starts_with(|c: char| c.is_ascii_digit());
            if is_number
                && (before.ends_with(|c: char| c.is_alphanumeric())
                    || after.starts_with(|c: char| c.is_ascii_digit()))
            {
                return false;
            }
            let before = before.trim_end_matches(is_part).trim_end();
            let compared = ["==", "!=", "<", ">", "<=", ">="]
                .iter()
                .any(|sign| before.ends_with(sign) || after.starts_with(sign));
            let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let caught = before.trim_end_matches('(').trim_end().ends_with("catch");
            !compared && !caught && !matches!(word, "case" | "instanceof" | "except" | "in" | "is")
        })
    })
}

/// Whether the first parameter says that errors are answered here.
fn is_error(name: &str) -> bool {
    matches!(name.trim_start_matches('_'), "err" | "error" | "e" | "ex")
}

fn is_path(text: &str) -> bool {
    text.trim_start_matches('^').starts_with('/') && !text.contains(' ')
}

/// Whether a path, or the name of a route, is one that everybody may ask for.
fn is_open(text: &str) -> bool {
    const WORDS: [&str; 24] = [
        "health", "ready", "live", "ping", "login", "signin", "sign-in", "logout", "register",
        "signup", "token", "auth", "docs", "redoc", "openapi", "swagger", "static", "assets",
        "favicon", "public", "robots", "status", "version", "index",
    ];
    let lower = text.to_lowercase();
    text == "/" || WORDS.iter().any(|word| lower.contains(word))
}

/// The literal texts in an expression.
fn texts(expr: &Expr, depth: usize, found: &mut Vec<String>) {
    match expr {
        Expr::Str(text, _) => found.push(text.clone()),
        Expr::List(items, _) | Expr::Other(items, _) | Expr::Truth(items, _) if depth < 6 => {
            items.iter().for_each(|item| texts(item, depth + 1, found));
        }
        Expr::Dict(pairs, _) if depth < 6 => {
            pairs.iter().for_each(|(_, value)| texts(value, depth + 1, found));
        }
        _ => {}
    }
}

/// Whether a call adds the route of the metrics.
fn routes_metrics(call: &Call) -> bool {
    let path = call.args.iter().find_map(|arg| arg.value.route_text());
    path.is_some_and(|path| path.trim_end_matches('/').ends_with("/metrics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_comparisons() {
        for code in
            ["abort(401)", "ctx.status = 401", "status_code=401)", "http.StatusUnauthorized)"]
        {
            assert!(says(code, &["401", "nauthorized"]), "{code}");
        }
        for code in [
            "if r.status == 401:",
            "if (401 === e.status)",
            "case 401:",
            "e instanceof UnauthorizedError",
            "except Unauthorized:",
            "x = 14013",
        ] {
            assert!(!says(code, &["401", "nauthorized"]), "{code}");
        }
    }

    #[test]
    fn literals_are_told_from_code() {
        let body = Body::of("if p == '/a':\n    # abort(401)\n    go(\"it's\")\n", &['"', '\'']);
        assert_eq!(body.literals, ["/a", "it's"]);
        assert!(!body.code.contains("401") && body.code.contains("go("));
    }
}
