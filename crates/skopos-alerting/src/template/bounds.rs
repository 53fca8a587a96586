//! What an expansion may make before it is output: texts and lists grow by functions, and a variable
//! that is doubled in a loop outgrows any memory in forty rounds.
//!
//! Sizes of arguments and results of the functions that make text or lists are counted, never given
//! back. What a query answered is not made here and counts when something is made of it.

use super::value::Value;

/// Most bytes that one expansion makes.
const MAX_MADE: usize = 16 << 20;

/// Most verbs of a format: each can be padded to thousands of characters.
const MAX_VERBS: usize = 1_000;

/// Functions whose results can be larger than any of their arguments.
const MAKERS: [&str; 19] = [
    "append",
    "args",
    "html",
    "join",
    "js",
    "list",
    "print",
    "printf",
    "println",
    "reReplaceAll",
    "safeHtml",
    "safeUrl",
    "stringSlice",
    "title",
    "toJson",
    "toLower",
    "toUpper",
    "urlQueryEscape",
    "urlquery",
];

/// The account of one expansion.
#[derive(Default)]
pub(super) struct Made {
    bytes: usize,
}

impl Made {
    /// Looks at a call before it is made.
    pub(super) fn before(&mut self, name: &str, arguments: &[Value]) -> Result<(), String> {
        if !MAKERS.contains(&name) {
            return Ok(());
        }
        let given = arguments.iter().fold(0, |sum: usize, a| sum.saturating_add(weight(a)));
        let text = |at: usize| match arguments.get(at) {
            Some(Value::Text(text) | Value::Safe(text)) => &**text,
            _ => "",
        };
        let result = match name {
            "printf" if text(0).matches('%').count() > MAX_VERBS => {
                return Err(format!("a format has more than {MAX_VERBS} verbs"));
            }
            // At each character of the text the replacement, with the text for each `$` of it.
            "reReplaceAll" => {
                let (replacement, text) = (text(1), text(2));
                let groups = replacement.matches('$').count();
                let each = replacement.len().saturating_add(groups);
                let places = (text.len() + 1).saturating_mul(each);
                places.saturating_add(groups.saturating_mul(text.len()))
            }
            "join" => match arguments.get(1) {
                Some(Value::List(items)) => text(0).len().saturating_mul(items.len()),
                _ => 0,
            },
            _ => 0,
        };
        self.add(given.saturating_add(result))
    }

    fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_MADE {
            return Err(format!("the template makes more than {MAX_MADE} bytes of text and lists"));
        }
        Ok(())
    }
}

/// About how many bytes a value prints, at most somewhat more than may be made: a list that holds
/// another one many times is not walked to its end.
fn weight(value: &Value) -> usize {
    let mut left = MAX_MADE;
    walk(value, &mut left);
    MAX_MADE - left + usize::from(left == 0)
}

fn walk(value: &Value, left: &mut usize) {
    let mut take = |bytes: usize| *left = left.saturating_sub(bytes + 8);
    match value {
        Value::Text(text) | Value::Safe(text) => take(text.len()),
        Value::Labels(map) | Value::Sample(map, _) => {
            map.iter().for_each(|(name, value)| take(name.len() + value.len()));
        }
        Value::Map(map) => {
            for (name, value) in map.iter() {
                *left = left.saturating_sub(name.len() + 8);
                if *left == 0 {
                    return;
                }
                walk(value, left);
            }
        }
        Value::List(items) => {
            for item in items.iter() {
                if *left == 0 {
                    return;
                }
                walk(item, left);
            }
        }
        Value::Alert(data) => {
            let maps = data.labels.iter().chain(data.external_labels.iter());
            maps.for_each(|(name, value)| take(name.len() + value.len()));
        }
        Value::Record(record) => {
            for (_, value) in &record.fields {
                if *left == 0 {
                    return;
                }
                walk(value, left);
            }
        }
        _ => take(16),
    }
}
