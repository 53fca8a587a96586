//! `#[derive(Redacted)]`: a `Debug` that hides marked fields, hides fields whose name says so, and scans the rest.
//!
//! A bound `T: Debug` is asked only of type parameters; a hidden field's type need not be `Debug` at all.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, Result};

/// What is said about a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Its name and its text decide.
    Judged,
    /// `#[redact]`
    Hidden,
    /// `#[redact(show)]`
    Shown,
    /// `#[redact(skip)]`
    Skipped,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let unmarked = manner_of_type(&input.attrs)?;
    let name = &input.ident;
    let arms = match &input.data {
        Data::Struct(data) => vec![arm(quote!(Self), name, &data.fields, unmarked)?],
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let unmarked = match manner_of_field(&variant.attrs)? {
                    Some(Manner::Skipped) => {
                        return Err(Error::new_spanned(
                            &variant.attrs[0],
                            "a variant cannot be skipped; write #[redact] to hide all of its fields",
                        ));
                    }
                    manner => manner.unwrap_or(unmarked),
                };
                let ident = &variant.ident;
                arm(quote!(Self::#ident), ident, &variant.fields, unmarked)
            })
            .collect::<Result<_>>()?,
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span(),
                "Redacted cannot be derived for a union: which of its fields is set is not known",
            ));
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(::core::fmt::Debug));
    }
    let (implementation, types, bounds) = generics.split_for_impl();
    let body =
        if arms.is_empty() { quote!(match *self {}) } else { quote!(match self { #(#arms)* }) };
    Ok(quote! {
        #[automatically_derived]
        impl #implementation ::core::fmt::Debug for #name #types #bounds {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #body
            }
        }
    })
}

fn arm(
    pattern: TokenStream,
    name: &Ident,
    fields: &Fields,
    unmarked: Manner,
) -> Result<TokenStream> {
    let shown_name = name.to_string();
    let shown_name = shown_name.trim_start_matches("r#");
    let mut bindings = Vec::new();
    let mut calls = Vec::new();
    let mut is_partial = false;
    for (index, field) in fields.iter().enumerate() {
        let manner = manner_of_field(&field.attrs)?.unwrap_or(unmarked);
        let binding = format_ident!("field_{index}", span = field.span());
        let pattern_of = |binding: TokenStream| match &field.ident {
            Some(ident) => quote!(#ident: #binding),
            None => binding,
        };
        let field_name = field.ident.as_ref().map(|ident| {
            let name = ident.to_string();
            name.trim_start_matches("r#").to_owned()
        });
        let value = match (manner, &field_name) {
            (Manner::Skipped | Manner::Hidden, _) => {
                bindings.push(pattern_of(quote!(_)));
                if manner == Manner::Skipped {
                    is_partial = true;
                    continue;
                }
                quote!(&::skopos::redact::Hidden)
            }
            (Manner::Judged, Some(name)) => {
                bindings.push(pattern_of(quote!(#binding)));
                quote!(&::skopos::redact::Shown::named(#name, #binding))
            }
            (Manner::Judged | Manner::Shown, _) => {
                bindings.push(pattern_of(quote!(#binding)));
                quote!(&::skopos::redact::Shown::anyway(#binding))
            }
        };
        calls.push(match field_name {
            Some(name) => quote!(debug.field(#name, #value);),
            None => quote!(debug.field(#value);),
        });
    }
    Ok(match fields {
        Fields::Unit => quote!(#pattern => formatter.write_str(#shown_name),),
        Fields::Named(_) => {
            let finish = if is_partial {
                quote!(debug.finish_non_exhaustive())
            } else {
                quote!(debug.finish())
            };
            quote! {
                #pattern { #(#bindings),* } => {
                    let mut debug = formatter.debug_struct(#shown_name);
                    #(#calls)*
                    #finish
                }
            }
        }
        Fields::Unnamed(_) => quote! {
            #pattern(#(#bindings),*) => {
                let mut debug = formatter.debug_tuple(#shown_name);
                #(#calls)*
                debug.finish()
            }
        },
    })
}

/// Reads `#[redact(all)]` on the type: what its fields are unless they say otherwise.
fn manner_of_type(attributes: &[Attribute]) -> Result<Manner> {
    let mut manner = Manner::Judged;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("redact")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("all") {
                return Err(meta.error("unknown option: a type takes #[redact(all)] only"));
            }
            manner = Manner::Hidden;
            Ok(())
        })?;
    }
    Ok(manner)
}

fn manner_of_field(attributes: &[Attribute]) -> Result<Option<Manner>> {
    let mut manner = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("redact")) {
        if manner.is_some() {
            return Err(Error::new_spanned(attribute, "a second #[redact] on the same field"));
        }
        if matches!(attribute.meta, syn::Meta::Path(_)) {
            manner = Some(Manner::Hidden);
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            manner = Some(if meta.path.is_ident("show") {
                Manner::Shown
            } else if meta.path.is_ident("skip") {
                Manner::Skipped
            } else {
                return Err(meta
                    .error("unknown option: write #[redact], #[redact(show)] or #[redact(skip)]"));
            });
            Ok(())
        })?;
        if manner.is_none() {
            return Err(Error::new_spanned(
                attribute,
                "#[redact()] says nothing: write #[redact], #[redact(show)] or #[redact(skip)]",
            ));
        }
    }
    Ok(manner)
}
