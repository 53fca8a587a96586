//! `#[derive(LabelValue)]` and `#[derive(LabelSet)]`: labels whose number of values the compiler knows.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Result};

/// The guide's bound: a label has fewer than a hundred values.
const MOST_VALUES: usize = 99;

pub(crate) fn expand_value(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.span(),
            "LabelValue is derived for enums: a struct or a string has no bounded set of values. \
             Use skopos::metrics::Bounded<N> for an open set",
        ));
    };
    if data.variants.is_empty() {
        return Err(Error::new(input.span(), "an enum without variants is no label"));
    }
    let mut texts: Vec<String> = Vec::new();
    let mut idents: Vec<&Ident> = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "a variant with fields has no bounded set of values: remove them",
            ));
        }
        let text = renamed(&variant.attrs)?
            .unwrap_or_else(|| snake_case(variant.ident.to_string().trim_start_matches("r#")));
        if texts.contains(&text) {
            return Err(Error::new(
                variant.span(),
                format!("two variants have the label value `{text}`"),
            ));
        }
        texts.push(text);
        idents.push(&variant.ident);
    }
    let count = texts.len();
    let indices = 0..count;
    if count > MOST_VALUES {
        return Err(Error::new(
            input.span(),
            format!(
                "{count} values are too many for a label: each is a series of its own; at most {MOST_VALUES}"
            ),
        ));
    }
    let name = &input.ident;
    let (implementation, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #implementation ::skopos::metrics::LabelValue for #name #types #bounds {
            const LIMIT: usize = #count;
            const CLOSED: bool = true;

            fn label(&self) -> &str {
                match self { #(Self::#idents => #texts,)* }
            }

            fn index(&self) -> usize {
                match self { #(Self::#idents => #indices,)* }
            }
        }
    })
}

pub(crate) fn expand_set(input: &DeriveInput) -> Result<TokenStream> {
    let wrong = || Error::new(input.span(), "LabelSet is derived for structs with named fields");
    let Data::Struct(data) = &input.data else { return Err(wrong()) };
    let Fields::Named(fields) = &data.fields else { return Err(wrong()) };
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a label set has no parameters"));
    }
    if fields.named.is_empty() {
        return Err(Error::new(input.span(), "a label set without labels: use a plain instrument"));
    }
    let mut names: Vec<String> = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let name = match renamed(&field.attrs)? {
            Some(name) => name,
            None => ident.to_string().trim_start_matches("r#").to_owned(),
        };
        check_label_name(&name, field.span())?;
        if names.contains(&name) {
            return Err(Error::new(field.span(), format!("two fields have the label `{name}`")));
        }
        names.push(name);
    }
    let name = &input.ident;
    let idents: Vec<&Ident> =
        fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<&syn::Type> = fields.named.iter().map(|field| &field.ty).collect();
    Ok(quote! {
        #[automatically_derived]
        impl ::skopos::metrics::LabelSet for #name {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            const LIMITS: &'static [usize] =
                &[#(<#types as ::skopos::metrics::LabelValue>::LIMIT),*];

            const CELLS: usize = if true #(&& <#types as ::skopos::metrics::LabelValue>::CLOSED)* {
                1 #(* <#types as ::skopos::metrics::LabelValue>::LIMIT)*
            } else {
                0
            };

            fn visit(&self, value: &mut dyn FnMut(&str)) {
                #(value(::skopos::metrics::LabelValue::label(&self.#idents));)*
            }

            fn cell(&self) -> usize {
                let cell = 0;
                #(
                    let cell = cell * <#types as ::skopos::metrics::LabelValue>::LIMIT
                        + ::skopos::metrics::LabelValue::index(&self.#idents);
                )*
                cell
            }
        }
    })
}

/// What Prometheus allows, without what it keeps for itself.
fn check_label_name(name: &str, span: proc_macro2::Span) -> Result<()> {
    let is_valid = name.bytes().enumerate().all(|(index, byte)| {
        byte.is_ascii_alphabetic() || byte == b'_' || (index > 0 && byte.is_ascii_digit())
    });
    if name.is_empty() || !is_valid || name.starts_with("__") {
        return Err(Error::new(span, format!("`{name}` is no label name of Prometheus")));
    }
    if matches!(name, "le" | "quantile") {
        return Err(Error::new(span, format!("the label `{name}` belongs to histograms")));
    }
    Ok(())
}

/// Reads `#[label(rename = "…")]`.
fn renamed(attributes: &[Attribute]) -> Result<Option<String>> {
    let mut text = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("label")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("unknown option: write #[label(rename = \"…\")]"));
            }
            text = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(text)
}

/// `CreditCard` is `credit_card`, `HTTPError` is `http_error`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index + 1);
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
