//! What a file does with databases, as far as its logs are concerned: variables that a client is connected with, whatever
//! they are called, and variables that hold a statement with its values.
//!
//! Both are looked for only where a log call of the same function writes such a variable: a file without either is passed
//! over after one walk of its calls and assignments.

use crate::FactKind;
use crate::Span;
use crate::sensitive::words;

use super::classify::Classify;
use super::ir::{Call, Expr};

/// Tells of every log call which of its values are an address of a database, and which a statement with its values.
pub(super) fn databases(c: &mut Classify<'_>) {
    let module = c.module;
    // By function: the variable.
    let addresses: Vec<(Option<usize>, &str)> = module
        .calls
        .iter()
        .filter(|call| connects(call))
        .flat_map(|call| call.args.iter().map(move |arg| (call.at.function, &arg.value)))
        .filter_map(|(function, value)| Some((function, value.path()?)))
        .filter(|(_, path)| is_address(path))
        .collect();
    let statements: Vec<(Option<usize>, &str)> = module
        .assigns
        .iter()
        .filter(|assign| assign.at.function.is_some() && is_statement(c, &assign.value))
        .map(|assign| (assign.at.function, assign.target.as_str()))
        .collect();
    // Put together here, of a host and no user.
    let open: Vec<(Option<usize>, &str)> = module
        .assigns
        .iter()
        .filter(|assign| is_address(&assign.target) && is_without_user(c, &assign.value))
        .map(|assign| (assign.at.function, assign.target.as_str()))
        .collect();
    if addresses.is_empty() && statements.is_empty() && open.is_empty() {
        return;
    }
    let innermost = |span: Span| {
        let around = module.functions.iter().enumerate().filter(|(_, f)| f.span.contains(span));
        around.max_by_key(|(_, f)| f.span.start).map(|(at, _)| at)
    };
    let mut logged = Vec::new();
    for fact in &mut c.facts {
        let FactKind::Log(log) = &mut fact.kind else { continue };
        let function = innermost(fact.span);
        for field in &mut log.fields {
            let mut is_told = false;
            for source in field.sources.iter_mut().filter(|source| !source.only_truth) {
                let name = source.path.as_str();
                if open.contains(&(function, name)) {
                    source.wrapped.insert(0, "without credentials".to_owned());
                    continue;
                }
                if source.wrapped.is_empty() && addresses.contains(&(function, name)) {
                    source.origins.push("dsn".to_owned());
                }
                is_told |= source.wrapped.is_empty() && statements.contains(&(function, name));
            }
            if is_told {
                logged.push((field.span, fact.scope.clone()));
            }
        }
    }
    for (span, scope) in logged {
        let kind = FactKind::SqlLogged("this line".to_owned());
        c.facts.push(crate::Fact { span, scope, kind });
    }
}

/// Whether a call connects to a database or a broker whose address holds a user and a password.
fn connects(call: &Call) -> bool {
    let object = call.object().rsplit('.').next().unwrap_or_default();
    match call.name() {
        "open" => object == "Client",
        "builder" => object == "ClusterClient",
        "connect" | "connect_lazy" | "establish" => {
            object.ends_with("Pool")
                || object.ends_with("Connection")
                || matches!(object, "mongoose" | "MongoClient" | "mongoClient" | "amqp" | "amqplib")
                || matches!(
                    object,
                    "psycopg2" | "psycopg" | "asyncpg" | "aio_pika" | "PgPoolOptions"
                )
        }
        "Dial" | "DialConfig" => matches!(object, "amqp" | "amqp091"),
        "Open" | "Connect" | "MustConnect" => matches!(object, "sql" | "sqlx"),
        "ParseConfig" => matches!(object, "pgx" | "pgxpool"),
        "ParseURL" => object == "redis",
        "from_url" => object.to_lowercase().contains("redis"),
        "with_uri_str"
        | "ApplyURI"
        | "create_engine"
        | "create_async_engine"
        | "URLParameters"
        | "connect_robust"
        | "MongoClient"
        | "new MongoClient"
        | "new Sequelize" => true,
        _ => false,
    }
}

/// Whether a plain variable's name says that it is an address.
fn is_address(path: &str) -> bool {
    !path.contains('.')
        && words(path)
            .iter()
            .any(|word| matches!(word.as_str(), "url" | "urls" | "uri" | "uris" | "dsn" | "jdbc"))
}

/// Whether a value is an address whose literals leave no room for a user: `format("jdbc:mysql://%s/cities", host)`.
fn is_without_user(c: &Classify<'_>, value: &Expr) -> bool {
    let text = match value {
        Expr::Interpolated(text, ..) => text.clone(),
        Expr::Join(..) => joined(value, 0).0,
        Expr::Call(at, _) => match c.module.calls.get(*at) {
            Some(call) if matches!(call.name(), "format" | "Sprintf" | "format!") => {
                call.args.first().map(|arg| joined(&arg.value, 0).0).unwrap_or_default()
            }
            _ => return false,
        },
        _ => return false,
    };
    let lower = text.to_ascii_lowercase();
    let Some((_, rest)) = lower.split_once("://") else { return false };
    let has_path = rest.split_once('/').is_some_and(|(host, _)| !host.is_empty());
    has_path && !["@", "pass", "pwd", "user", "secret"].iter().any(|word| lower.contains(word))
}

/// Whether a value is a statement of SQL with values put into it.
fn is_statement(c: &Classify<'_>, value: &Expr) -> bool {
    let is_sql = |text: &str| {
        let lower = text.trim_start().to_ascii_lowercase();
        let second: &[&str] = match lower.split_whitespace().next() {
            Some("select" | "delete") => &[" from "],
            Some("insert") => &[" into "],
            Some("update") => &[" set "],
            _ => return false,
        };
        second.iter().any(|word| lower.contains(word))
    };
    match value {
        Expr::Interpolated(text, parts, _) => !parts.is_empty() && is_sql(text),
        Expr::Join(..) => {
            let (text, has_values) = joined(value, 0);
            has_values && is_sql(&text)
        }
        Expr::Call(at, _) => {
            let Some(call) = c.module.calls.get(*at) else { return false };
            let formats =
                matches!(call.name(), "format" | "Sprintf" | "formatted" | "format!" | "% ()");
            let text = call.args.first().map(|arg| joined(&arg.value, 0).0);
            formats && call.args.len() > 1 && text.is_some_and(|text| is_sql(&text))
        }
        _ => false,
    }
}

/// The literals of a concatenation, and whether there is more in it than literals.
pub(super) fn joined(value: &Expr, depth: usize) -> (String, bool) {
    match value {
        Expr::Join(parts, _) if depth < 32 => {
            parts.iter().fold((String::new(), false), |(mut text, has_values), part| {
                let (more, of_part) = joined(part, depth + 1);
                text.push_str(&more);
                (text, has_values || of_part)
            })
        }
        value => match value.text() {
            Some(text) => (text.to_owned(), false),
            None => (String::new(), true),
        },
    }
}
