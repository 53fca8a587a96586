//! Who may do what: scopes, tokens, and the checks that stand in for tokens on loopback.
//!
//! With at least one token configured every route but the public ones wants
//! `Authorization: Bearer …`, on HTTP and gRPC alike. Without tokens the server listens on loopback
//! only (unless told otherwise) and defends against web pages: the `Host` header must name this
//! machine (DNS rebinding), `Origin` must be our own, and a change of state needs something no
//! simple form can send: the header `X-Skopos-Request`, or a JSON or protobuf content type.

mod origin;
mod token;

use std::sync::Arc;

use http::{HeaderMap, Method, Uri, header};

pub use origin::REQUEST_HEADER;
pub(crate) use token::is_token_name;
pub use token::{GeneratedToken, Scopes, TokenInfo, Tokens, generate_token, hash_token};

use crate::error::{ApiError, ErrorClass};
use origin::OriginCheck;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nothing: probes.
    Public,
    /// To send telemetry.
    Ingest,
    /// To read telemetry.
    Read,
    /// To change the server. An admin token opens everything.
    Admin,
}

/// The check in front of one route.
#[derive(Clone)]
pub struct Guard {
    tokens: Arc<Tokens>,
    origin: Arc<OriginCheck>,
    scope: Scope,
    changes_state: bool,
}

impl Guard {
    /// The guard of a route with this scope.
    pub fn new(state: &crate::state::AppState, scope: Scope, changes_state: bool) -> Self {
        Self {
            tokens: Arc::clone(&state.tokens),
            origin: Arc::new(OriginCheck::new(&state.settings)),
            scope,
            changes_state,
        }
    }

    /// Lets a request pass or says why not.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.tokens.is_empty() {
            self.origin.check(uri, headers)?;
            // No form can send DELETE, and browsers send it to foreign servers only after asking.
            let is_no_form = method == Method::GET || method == Method::DELETE;
            if self.changes_state && !is_no_form {
                origin::check_not_a_simple_form(headers)?;
            }
            return Ok(());
        }
        let Some(wanted) = Scopes::wanted(self.scope) else { return Ok(()) };
        let Some(token) = bearer(headers) else {
            return Err(ApiError::new(
                ErrorClass::Unauthenticated,
                "this server wants a token: Authorization: Bearer …",
            ));
        };
        match self.tokens.find(token) {
            None => Err(ApiError::new(ErrorClass::Unauthenticated, "unknown token")),
            Some(info) if info.scopes.covers(wanted) => Ok(()),
            Some(info) => Err(ApiError::new(
                ErrorClass::Forbidden,
                format!("token `{}` has {}, this needs {wanted}", info.name, info.scopes),
            )),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
