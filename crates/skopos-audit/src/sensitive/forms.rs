//! Calls that give the same value in another form, in one place for all who ask.

/// What writes a value down as it is, or gives it on unchanged: of all of it, or of what it is called on.
const WHOLE: [&str; 36] = [
    "asList",
    "deepToString",
    "str",
    "repr",
    "dumps",
    "stringify",
    "model_dump",
    "model_dump_json",
    "dict",
    "json",
    "asdict",
    "vars",
    "inspect",
    "format",
    "Sprintf",
    "format!",
    "Any",
    "MessageToJson",
    "MessageToDict",
    "to_dict",
    "jsonable_encoder",
    "pformat",
    "Marshal",
    "MarshalIndent",
    "string",
    "Sprint",
    "Sprintln",
    "to_string",
    "to_string_pretty",
    "unwrap",
    "unwrap_or_default",
    "clone",
    "String",
    "valueOf",
    "toString",
    "expect",
];

/// Calls of Java that write every field, whatever `toString` does.
const FIELDS: [&str; 4] = ["writeValueAsString", "toJson", "toJSONString", "valueToTree"];

/// What may change how a value is written, or gives what is in it: a password stays one.
const SIMILAR: [&str; 69] = [
    "json!",
    "decode",
    "encode",
    "strip",
    "trim",
    "join",
    "list",
    "entries",
    "toJSON",
    "toObject",
    "Errorf",
    "upper",
    "lower",
    "toLowerCase",
    "toUpperCase",
    "assign",
    "to_owned",
    "as_str",
    "expose_secret",
    "get_secret_value",
    "bytes",
    "text",
    "fromEntries",
    "into",
    "Bytes",
    "serialize",
    "as_ref",
    "ok",
    "jsonify",
    "[]byte",
    "ByteString",
    "Stringer",
    "Reflect",
    "TrimSpace",
    "Encode",
    "from_utf8_lossy",
    "from_utf8",
    "collect",
    "copy",
    "deepcopy",
    "deref",
    "as_deref",
    "to_str",
    "into_inner",
    "from_utf8_lossy_owned",
    "unwrap_or",
    "unwrap_or_else",
    "and_then",
    // What is read back is what was written.
    "loads",
    "readTree",
    "from_slice",
    "from_str",
    // All of a collection, and one after another.
    "[each]",
    "items",
    "values",
    "iter",
    "into_iter",
    "entrySet",
    "getValue",
    "value",
    "Value",
    "lines",
    "joining",
    "toMap",
    "Join",
    "Clone",
    "copyToString",
    "readAllBytes",
    "getBytes",
];

/// Calls that leave a part of what they are given.
const PARTS: [&str; 6] = ["slice", "substring", "substr", "[:]", "padStart", "chars"];

/// Whether a call, by its name, writes all of what it is given by its fields, not by what that says of itself.
pub(crate) fn writes_fields(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// Whether a call, by its name, leaves all of what it is given.
pub(crate) fn keeps_all(name: &str) -> bool {
    WHOLE.contains(&name) || FIELDS.contains(&name)
}

/// Whether a call, by its name, hands on what it is given, or a part of it.
pub(super) fn hands_on(name: &str) -> bool {
    keeps_all(name) || SIMILAR.contains(&name) || takes_part(name)
}

/// Whether a call, by its name, leaves a part of what it is given.
pub(super) fn takes_part(name: &str) -> bool {
    PARTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_stands_twice() {
        let mut all = [&WHOLE[..], &FIELDS, &SIMILAR, &PARTS].concat();
        all.sort_unstable();
        let twice: Vec<&[&str]> = all.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert_eq!(twice, Vec::<&[&str]>::new());
    }

    #[test]
    fn what_keeps_all_hands_it_on() {
        for name in ["MessageToJson", "valueToTree", "dict", "clone"] {
            assert!(keeps_all(name) && hands_on(name), "{name}");
        }
        assert!(hands_on("strip") && !keeps_all("strip") && !hands_on("len"));
    }
}
