//! What may be told of a statement of SQL: a summary of few words, and the text without any value.
//!
//! Both read the statement's words and never fail: what is no SQL yields what little can be told. Texts between quotes, dollar
//! quotes and numbers become `?`, comments are left out, and a list of placeholders becomes one, so that statements that differ
//! in values only have the same text. Where double quotes are text, as in MySQL, they are taken out as well.

/// Longest statement that is read; the rest is left out.
const LONGEST_READ: usize = 16 * 1024;
/// Longest text that is told.
const LONGEST_TEXT: usize = 2048;
/// Longest summary, by the semantic conventions.
const LONGEST_SUMMARY: usize = 255;
/// Tables that a summary names at most.
const MOST_TABLES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'s> {
    /// A keyword, an identifier (with its quotes), or a placeholder.
    Word(&'s str),
    /// A text or a number.
    Literal,
    Symbol(char),
    Space,
}

/// Returns a statement with every value taken out. `system` is the database's name by the semantic conventions.
///
/// ```
/// use skopos::db::statement::sanitized;
/// let text = sanitized("SELECT * FROM users WHERE mail = 'a@b.c' AND id IN (1, 2, 3)", "postgresql");
/// assert_eq!(text, "SELECT * FROM users WHERE mail = ? AND id IN (?)");
/// ```
pub fn sanitized(statement: &str, system: &str) -> String {
    let double_quotes_are_text = matches!(system, "mysql" | "mariadb");
    let mut text = String::with_capacity(statement.len().min(LONGEST_TEXT));
    let mut has_space = false;
    for token in Tokens::new(statement, double_quotes_are_text) {
        if text.len() > LONGEST_TEXT {
            break;
        }
        if token == Token::Space {
            has_space = !text.is_empty();
            continue;
        }
        // A list of values says no more than one of them.
        let is_one_more = token == Token::Literal && text.ends_with("(?,");
        if is_one_more {
            text.pop();
            has_space = false;
            continue;
        }
        if std::mem::take(&mut has_space) && !text.ends_with("(?,") {
            text.push(' ');
        }
        match token {
            Token::Word(word) => text.push_str(word),
            Token::Literal => text.push('?'),
            Token::Symbol(symbol) => text.push(symbol),
            Token::Space => {}
        }
    }
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

/// Returns what a statement does and to which tables, in at most 255 bytes.
///
/// ```
/// use skopos::db::statement::summary;
/// assert_eq!(summary("select o.id from orders o join users u on u.id = o.user_id"), "SELECT orders users");
/// ```
pub fn summary(statement: &str) -> String {
    let tokens = Tokens::new(statement, false).filter(|token| *token != Token::Space);
    let mut summary = Summary::default();
    let mut depth = 0_i32;
    for token in tokens {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            // What follows is another statement.
            Token::Symbol(';') if !summary.operation.is_empty() => break,
            _ => {}
        }
        summary.take(token, depth);
    }
    summary.text()
}

#[derive(Default)]
struct Summary {
    operation: String,
    tables: Vec<String>,
    /// Tables that only exist within the statement.
    own: Vec<String>,
    is_with: bool,
    /// The word before says that a table comes.
    wants_table: bool,
    /// Right after a table's name, a dot or a comma may follow.
    after_table: bool,
    is_dotted: bool,
    last_word: String,
}

impl Summary {
    fn take(&mut self, token: Token<'_>, depth: i32) {
        let Token::Word(word) = token else {
            match token {
                Token::Symbol('.') if self.after_table => self.is_dotted = true,
                Token::Symbol(',') if self.after_table && depth == 0 => self.wants_table = true,
                _ => self.wants_table = false,
            }
            self.after_table &= token == Token::Symbol('.');
            return;
        };
        let upper = word.to_ascii_uppercase();
        if self.is_dotted {
            // `schema.table`: one name.
            if let Some(table) = self.tables.last_mut() {
                table.push('.');
                table.push_str(name(word));
            }
            self.is_dotted = false;
            self.after_table = true;
            return;
        }
        self.after_table = false;
        if self.is_with && depth == 0 && upper == "AS" {
            self.own.push(std::mem::take(&mut self.last_word));
        }
        let is_verb = matches!(upper.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE");
        if self.operation.is_empty() {
            self.is_with = upper == "WITH";
            self.operation.clone_from(&upper);
        } else if self.is_with && depth == 0 && is_verb {
            self.operation.clone_from(&upper);
            self.is_with = false;
        }
        let is_filler = matches!(upper.as_str(), "ONLY" | "IF" | "NOT" | "EXISTS" | "LATERAL");
        if self.wants_table && is_filler {
            return;
        }
        if self.wants_table && !is_keyword(&upper) {
            self.tables.push(name(word).to_owned());
            self.after_table = true;
            self.wants_table = false;
            return;
        }
        // `FOR UPDATE` and `DO UPDATE` are no updates of a table.
        let is_clause =
            upper == "UPDATE" && matches!(self.last_word.as_str(), "FOR" | "DO" | "for" | "do");
        self.wants_table = !is_clause
            && matches!(upper.as_str(), "FROM" | "JOIN" | "INTO" | "UPDATE" | "TABLE" | "TRUNCATE");
        word.clone_into(&mut self.last_word);
    }

    fn text(self) -> String {
        let mut text = self.operation;
        let mut told: Vec<&str> = Vec::new();
        for table in &self.tables {
            let is_own = self.own.iter().any(|own| own.eq_ignore_ascii_case(table));
            if !is_own && !told.contains(&table.as_str()) && told.len() < MOST_TABLES {
                told.push(table);
                text.push(' ');
                text.push_str(table);
            }
        }
        text.truncate(text.floor_char_boundary(LONGEST_SUMMARY));
        text
    }
}

/// Words that may stand where a table is expected.
fn is_keyword(word: &str) -> bool {
    matches!(word, "SELECT" | "VALUES" | "SET" | "WHERE" | "TABLE" | "UNNEST")
}

/// An identifier without its quotes.
fn name(word: &str) -> &str {
    word.trim_matches(|letter| matches!(letter, '"' | '`' | '[' | ']'))
}

struct Tokens<'s> {
    rest: &'s str,
    double_quotes_are_text: bool,
}

impl<'s> Tokens<'s> {
    fn new(statement: &'s str, double_quotes_are_text: bool) -> Tokens<'s> {
        let rest = &statement[..statement.floor_char_boundary(LONGEST_READ)];
        Tokens { rest, double_quotes_are_text }
    }

    /// Takes the first bytes off; the length is that of whole characters.
    fn cut(&mut self, length: usize) -> &'s str {
        let (cut, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        cut
    }

    /// Returns the length of a text between quotes; one that does not end goes on to the end.
    fn quoted(&self, start: usize, quote: char, has_escapes: bool) -> usize {
        let mut letters =
            self.rest.char_indices().skip_while(|(index, _)| *index < start).skip(1).peekable();
        while let Some((index, letter)) = letters.next() {
            if has_escapes && letter == '\\' {
                letters.next();
            } else if letter == quote {
                // A quote that is doubled stands for itself.
                if letters.peek().is_some_and(|(_, next)| *next == quote) {
                    letters.next();
                } else {
                    return index + letter.len_utf8();
                }
            }
        }
        self.rest.len()
    }

    fn dollar_quoted(&self) -> Option<usize> {
        let tag_end = self.rest.get(1..)?.find('$')? + 2;
        let tag = self.rest.get(..tag_end)?;
        let is_tag =
            tag.trim_matches('$').bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !is_tag {
            return None;
        }
        let body = self.rest.get(tag_end..)?;
        Some(body.find(tag).map_or(self.rest.len(), |end| tag_end + end + tag.len()))
    }

    fn block_comment(&self) -> usize {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with("/*") {
                depth += 1;
                at += 2;
            } else if rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return at;
                }
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        self.rest.len()
    }

    fn while_letters(&self, is_wanted: impl Fn(char) -> bool) -> usize {
        self.rest.find(|letter| !is_wanted(letter)).unwrap_or(self.rest.len())
    }
}

fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#' | '@')
}

impl<'s> Iterator for Tokens<'s> {
    type Item = Token<'s>;

    fn next(&mut self) -> Option<Token<'s>> {
        let first = self.rest.chars().next()?;
        let second = self.rest.chars().nth(1);
        let backslash_escapes = self.double_quotes_are_text;
        let (length, is_literal) = match (first, second) {
            (letter, _) if letter.is_whitespace() => {
                let length = self.while_letters(char::is_whitespace);
                self.cut(length);
                return Some(Token::Space);
            }
            ('-', Some('-')) => {
                let length = self.rest.find('\n').unwrap_or(self.rest.len());
                self.cut(length);
                return Some(Token::Space);
            }
            ('/', Some('*')) => {
                let length = self.block_comment();
                self.cut(length);
                return Some(Token::Space);
            }
            ('\'', _) => (self.quoted(0, '\'', backslash_escapes), true),
            // PostgreSQL's texts with escapes, bits, hexadecimal and national texts.
            ('E' | 'e', Some('\'')) => (self.quoted(1, '\'', true), true),
            ('B' | 'b' | 'X' | 'x' | 'N' | 'n', Some('\'')) => {
                (self.quoted(1, '\'', backslash_escapes), true)
            }
            ('"', _) => (self.quoted(0, '"', backslash_escapes), self.double_quotes_are_text),
            ('`', _) => (self.quoted(0, '`', false), false),
            ('$', Some(second)) if !second.is_ascii_digit() => match self.dollar_quoted() {
                Some(length) => (length, true),
                None => {
                    self.cut(1);
                    return Some(Token::Symbol('$'));
                }
            },
            ('?', Some('0'..='9')) => {
                let rest = self.rest.get(1..).unwrap_or_default();
                let end = rest.find(|letter: char| !letter.is_ascii_digit());
                (1 + end.unwrap_or(rest.len()), false)
            }
            ('$' | ':' | '@', Some(second)) if second.is_alphanumeric() || second == '_' => {
                let rest = self.rest.get(1..).unwrap_or_default();
                let length = rest.find(|letter| !is_word_letter(letter)).unwrap_or(rest.len());
                (1 + length, false)
            }
            ('0'..='9', _) => {
                let is_of_number =
                    |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_');
                (self.while_letters(is_of_number), true)
            }
            ('.', Some('0'..='9')) => {
                (self.while_letters(|letter| letter.is_alphanumeric() || letter == '.'), true)
            }
            (letter, _) if is_word_letter(letter) => (self.while_letters(is_word_letter), false),
            (symbol, _) => {
                self.cut(symbol.len_utf8());
                return Some(Token::Symbol(symbol));
            }
        };
        let text = self.cut(length.max(1));
        Some(if is_literal { Token::Literal } else { Token::Word(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::{sanitized, summary};
    use proptest::prelude::*;

    #[test]
    fn values_are_taken_out() {
        for (statement, expected) in [
            ("SELECT 1", "SELECT ?"),
            ("select a1, b2 from t3 where x = $1", "select a1, b2 from t3 where x = $1"),
            ("SELECT 'it''s', E'a\\'b', N'x', x'ff'", "SELECT ?, ?, ?, ?"),
            ("SELECT $$body$$, $tag$a $$ b$tag$, $2", "SELECT ?, ?, $2"),
            ("SELECT \"Name\" FROM \"T\"", "SELECT \"Name\" FROM \"T\""),
            ("SELECT -1.5e10, .5, 0xFF, 1_000", "SELECT -?, ?, ?, ?"),
            ("a = 'x' -- secret\n AND b /* also /* deep */ secret */ = 2", "a = ? AND b = ?"),
            ("IN (1,2,3) OR IN ( 'a' , 'b' )", "IN (?) OR IN ( ? , ? )"),
            ("VALUES (1, 'a', 2), (3, 'b', 4)", "VALUES (?), (?)"),
            ("SELECT 'unfinished", "SELECT ?"),
            ("SELECT ?, ?2, :name, @p1", "SELECT ?, ?2, :name, @p1"),
            ("SELECT a::text", "SELECT a::text"),
            ("  \n SELECT  \t x  ", "SELECT x"),
            ("", ""),
        ] {
            assert_eq!(sanitized(statement, "postgresql"), expected, "{statement}");
        }
        assert_eq!(sanitized(r#"SELECT "pass\"word", 'a\'b'"#, "mysql"), "SELECT ?, ?");
    }

    #[test]
    fn what_is_done_to_which_tables() {
        for (statement, expected) in [
            ("SELECT * FROM orders WHERE id = 1", "SELECT orders"),
            ("select 1", "SELECT"),
            ("INSERT INTO shop.orders (a) VALUES (1)", "INSERT shop.orders"),
            ("insert into \"Order\" select * from `old`", "INSERT Order old"),
            ("UPDATE orders SET a = 1 WHERE b IN (SELECT id FROM users)", "UPDATE orders users"),
            ("DELETE FROM ONLY orders", "DELETE orders"),
            ("SELECT * FROM a, b JOIN c ON true LEFT JOIN a x ON true", "SELECT a b c"),
            (
                "WITH recent AS (SELECT * FROM orders) SELECT * FROM recent, users",
                "SELECT orders users",
            ),
            ("CREATE TABLE IF NOT EXISTS orders (id INT)", "CREATE orders"),
            ("SELECT * FROM (SELECT * FROM orders) o", "SELECT orders"),
            ("SELECT * FROM orders FOR UPDATE SKIP LOCKED", "SELECT orders"),
            ("INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b = 2", "INSERT a"),
            ("BEGIN", "BEGIN"),
            ("SELECT 1; DROP TABLE users", "SELECT"),
            ("-- hint\nSELECT a FROM b", "SELECT b"),
            ("", ""),
        ] {
            assert_eq!(summary(statement), expected, "{statement}");
        }
        let many: String =
            (0..100).map(|number| format!(" JOIN {}{number}", "t".repeat(90))).collect();
        assert!(summary(&format!("SELECT * FROM a{many}")).len() <= 255);
    }

    proptest! {
        #[test]
        fn no_text_ever_shows(secret in "[a-z]{12}", around in "[a-z0-9 '\"(),;$-]{0,40}") {
            // Whatever stands around them, what is between closed quotes is not told.
            let escaped = format!("SELECT '{secret}', {around}");
            prop_assert!(!sanitized(&escaped, "postgresql").contains(&secret));
            prop_assert!(!summary(&escaped).contains(&secret));
        }

        #[test]
        fn anything_is_read_within_bounds(statement in any::<String>(), times in 1_usize..200) {
            let long = statement.repeat(times);
            prop_assert!(sanitized(&long, "mysql").len() <= 2048 + 3);
            prop_assert!(summary(&long).len() <= 255);
        }
    }
}
