//! JSON operators: `attributes->>'http.route'` (text) and `attributes->'list'` (JSON).
//!
//! Constraints:
//! - The text is what `skopos-store` wrote: one value under a repeated key counts, the first.
//! - Nothing is built that is not asked for: a look-up walks over the text and copies one value.
//! - Text that is no JSON, and a path that leads nowhere, are NULL, as in PostgreSQL's `json_extract_path`.
//!
//! Keys are whole names: `->>'http.route'` looks for a key with a dot, not into `http`. A number
//! looks into a list, from its end when negative.

mod functions;
mod walk;

pub(crate) use functions::{JsonOperators, json_get, json_get_text, look_up_of};
