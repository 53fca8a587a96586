//! The derives of the `skopos` SDK: `Redacted`, `LabelValue` and `LabelSet`. Use them through `skopos`, which documents them
//! beside what they implement and re-exports them.
//!
//! It is **not** a crate to depend on: what the derives write names items of `skopos`.
//!
//! It promises: what a derive cannot do right is an error at the place that caused it, with what to write instead; nothing
//! is guessed. A field about which an attribute is misspelt is never shown: the program does not compile.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod labels;
mod redacted;

#[cfg(test)]
mod tests;

/// Implements `Debug` without the secrets: see `skopos::Redacted`.
#[proc_macro_derive(Redacted, attributes(redact))]
pub fn derive_redacted(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    redacted::expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes an enum without fields a closed set of label values: see `skopos::metrics::LabelValue`.
#[proc_macro_derive(LabelValue, attributes(label))]
pub fn derive_label_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    labels::expand_value(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes the fields of a struct the labels of a metric: see `skopos::metrics::LabelSet`.
#[proc_macro_derive(LabelSet, attributes(label))]
pub fn derive_label_set(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    labels::expand_set(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}
