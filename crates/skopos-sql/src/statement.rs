//! Which statements are answered: those that read.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

use crate::error::SqlError;

/// Longest text of a query, in bytes.
const MOST_BYTES: usize = 256 << 10;

/// Deepest nesting of a query.
const MOST_DEPTH: usize = 50;

/// The one statement of a text, when it only reads.
pub(crate) fn parse(sql: &str) -> Result<Statement, SqlError> {
    if sql.len() > MOST_BYTES {
        let message =
            format!("the query has {} bytes, and at most {MOST_BYTES} are read", sql.len());
        return Err(SqlError::invalid(message));
    }
    let parser = DFParserBuilder::new(sql)
        .with_dialect(&PostgreSqlDialect {})
        .with_recursion_limit(MOST_DEPTH)
        .build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(|error| SqlError::of(&error, sql))?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => {
            if !reads(&statement) {
                return Err(SqlError::ReadOnly { statement: first_words(&statement) });
            }
            Ok(statement)
        }
        (None, _) => Err(SqlError::invalid("the query is empty")),
        (Some(_), more) => Err(SqlError::invalid(format!(
            "one statement at a time: there are {more} after the first semicolon"
        ))),
    }
}

/// Whether a statement is a query, whose answer can be cut to so many rows.
pub(crate) fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)))
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::Statement(statement) => match &**statement {
            ast::Statement::Query(query) => query_reads(query),
            ast::Statement::Explain { statement, .. } => {
                reads(&Statement::Statement(statement.clone()))
            }
            ast::Statement::ExplainTable { .. }
            | ast::Statement::ShowTables { .. }
            | ast::Statement::ShowColumns { .. }
            | ast::Statement::ShowFunctions { .. } => true,
            _ => false,
        },
        _ => false,
    }
}

fn query_reads(query: &ast::Query) -> bool {
    let with = query.with.iter().flat_map(|with| &with.cte_tables);
    with.into_iter().all(|cte| query_reads(&cte.query)) && set_reads(&query.body)
}

fn set_reads(set: &ast::SetExpr) -> bool {
    match set {
        ast::SetExpr::Select(select) => select.into.is_none(),
        ast::SetExpr::Query(query) => query_reads(query),
        ast::SetExpr::SetOperation { left, right, .. } => set_reads(left) && set_reads(right),
        ast::SetExpr::Values(_) | ast::SetExpr::Table(_) => true,
        _ => false,
    }
}

/// What a statement calls itself: `CREATE TABLE`, `INSERT INTO`, `SET`.
fn first_words(statement: &Statement) -> String {
    let text = statement.to_string();
    let is_keyword = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
    let words: Vec<&str> = text.split_whitespace().take(3).take_while(is_keyword).collect();
    match words.as_slice() {
        [] => "this statement".to_owned(),
        ["WITH" | "SELECT", ..] => "a query that writes".to_owned(),
        words => words.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_is_answered() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT 2;",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "VALUES (1), (2)",
            "DESCRIBE logs",
            "SHOW TABLES",
            "SHOW COLUMNS FROM logs",
        ] {
            assert!(parse(sql).is_ok(), "{sql}");
        }
        for (sql, named) in [
            ("CREATE TABLE t (a INT)", "CREATE TABLE"),
            ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
                "CREATE EXTERNAL TABLE",
            ),
            ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
            ("DROP TABLE logs", "DROP TABLE"),
            ("INSERT INTO logs VALUES (1)", "INSERT INTO"),
            ("UPDATE logs SET body = ''", "UPDATE"),
            ("DELETE FROM logs", "DELETE FROM"),
            ("TRUNCATE TABLE logs", "TRUNCATE TABLE"),
            ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY"),
            ("SET datafusion.execution.batch_size = 1", "SET"),
            ("BEGIN", "BEGIN"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
            ("EXPLAIN INSERT INTO logs VALUES (1)", "EXPLAIN INSERT INTO"),
            ("SELECT 1 INTO t", "a query that writes"),
        ] {
            match parse(sql) {
                Err(SqlError::ReadOnly { statement }) => assert_eq!(statement, named, "{sql}"),
                Err(other) => panic!("{sql}: {other}"),
                Ok(statement) => panic!("{sql} was taken: {statement:?}"),
            }
        }
    }

    #[test]
    fn too_much_is_refused() {
        let parts = ["SELECT ", &"(".repeat(1000), "1", &")".repeat(1000)];
        assert!(parse(&parts.concat()).is_err());
        assert!(parse(&format!("SELECT '{}'", "x".repeat(MOST_BYTES))).is_err());
        assert!(parse("SELECT 1; SELECT 2").is_err());
        assert!(parse(" -- nothing").is_err());
    }
}
