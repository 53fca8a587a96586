//! Access tokens: 256 random bits, shown once, kept as SHA-256.
//!
//! A plain hash suffices because a token has full entropy: there is nothing to guess. Tokens live
//! in the configuration (hash only) or in the state log (made by `skopos token create`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest, Sha256};
use skopos_model::Timestamp;
use skopos_model::storage::{
    CommitId, ErrorKind, StateCommit, StateKind, StateLog, StateRecord, StorageError,
};

use super::Scope;
use crate::config::{Secret, TokenEntry};

/// Begins every token, so that scanners recognise one that leaked.
const PREFIX: &str = "skopos_";

/// Version of a token's record in the state log.
const RECORD_VERSION: u8 = 1;

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// To send telemetry.
    pub const INGEST: Self = Self(1);
    /// To read telemetry.
    pub const READ: Self = Self(2);
    /// Everything.
    pub const ADMIN: Self = Self(4);

    const NAMES: [(&str, Self); 3] =
        [("ingest", Self::INGEST), ("read", Self::READ), ("admin", Self::ADMIN)];

    /// Reads `ingest+read`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scopes = Self(0);
        for word in text.split('+') {
            let (_, scope) = Self::NAMES.iter().find(|(name, _)| *name == word)?;
            scopes.0 |= scope.0;
        }
        Some(scopes)
    }

    /// What a route of this scope asks for; nothing when it is public.
    pub(super) fn wanted(scope: Scope) -> Option<Self> {
        match scope {
            Scope::Public => None,
            Scope::Ingest => Some(Self::INGEST),
            Scope::Read => Some(Self::READ),
            Scope::Admin => Some(Self::ADMIN),
        }
    }

    /// Whether a token with these scopes may do what `wanted` asks for.
    pub fn covers(self, wanted: Self) -> bool {
        self.0 & (wanted.0 | Self::ADMIN.0) != 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, scope) in Self::NAMES {
            if self.0 & scope.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        Ok(())
    }
}

/// A known token, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its name.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// When it was made; the epoch for tokens of the configuration.
    pub created_at: Timestamp,
}

/// SHA-256 of a token in lower-case hexadecimal, as the configuration wants it.
pub fn hash_token(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// A token that nobody keeps yet.
#[derive(Debug)]
pub struct GeneratedToken {
    /// The token itself, to be shown once.
    pub token: Secret<String>,
    /// What the server is to know of it.
    pub entry: TokenEntry,
}

impl TokenEntry {
    /// The entry as `auth.tokens` has it: `NAME:SCOPES:SHA256`. Whoever reads it cannot use it.
    pub fn line(&self) -> String {
        format!("{}:{}:{}", self.name, self.scopes, self.hash.expose())
    }
}

/// Makes a token of 256 random bits without telling any server.
///
/// ```
/// use skopos_server::auth::{Scopes, generate_token, hash_token};
///
/// let made = generate_token("ci", Scopes::INGEST)?;
/// // This line goes to the configuration: `auth.tokens`.
/// assert_eq!(made.entry.line(), format!("ci:ingest:{}", hash_token(made.token.expose())));
/// # Ok::<(), skopos_model::storage::StorageError>(())
/// ```
pub fn generate_token(name: &str, scopes: Scopes) -> Result<GeneratedToken, StorageError> {
    if !is_token_name(name) {
        let message =
            "a token's name has 1 to 64 characters out of A-Z, a-z, 0-9, `.`, `_` and `-`";
        return Err(StorageError::new(ErrorKind::InvalidInput, message));
    }
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| {
        let message = "the system gives no random numbers";
        StorageError::with_source(ErrorKind::Internal, message, error.to_string())
    })?;
    let digits: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let token = format!("{PREFIX}{digits}");
    let entry = TokenEntry { name: name.to_owned(), scopes, hash: Secret::new(hash_token(&token)) };
    Ok(GeneratedToken { token: Secret::new(token), entry })
}

/// Whether a token may be called this: names stand in paths, logs and terminals.
pub(crate) fn is_token_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// All known tokens by their hash.
#[derive(Debug, Default)]
pub struct Tokens {
    by_hash: RwLock<HashMap<String, TokenInfo>>,
    /// Held from the check of a change to its end: of two last admin tokens, one stays.
    changes: tokio::sync::Mutex<()>,
}

impl Tokens {
    /// The tokens of the configuration and those kept in the state log.
    pub async fn load(
        configured: &[TokenEntry],
        state: &dyn StateLog,
    ) -> Result<Self, StorageError> {
        let tokens = Self::default();
        for entry in configured {
            let info = TokenInfo {
                name: entry.name.clone(),
                scopes: entry.scopes,
                created_at: Timestamp(0),
            };
            tokens.insert(entry.hash.expose().clone(), info);
        }
        for record in state.load(StateKind::Token).await? {
            let Some(value) = record.value else { continue };
            let (hash, info) = decode(&record.key, &value).ok_or_else(|| {
                StorageError::new(
                    ErrorKind::Corrupt,
                    format!("the record of token `{}` cannot be read", record.key),
                )
            })?;
            tokens.insert(hash, info);
        }
        Ok(tokens)
    }

    /// Whether there is none: the server then relies on loopback.
    pub fn is_empty(&self) -> bool {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The token's entry. Only hashes are compared, so timing tells nothing about a token.
    pub fn find(&self, token: &str) -> Option<TokenInfo> {
        let hash = hash_token(token);
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// All entries by name.
    pub fn list(&self) -> Vec<TokenInfo> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<TokenInfo> = by_hash.values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Makes a token and keeps its hash durably. The result is shown once and never again. Without
    /// an admin token only an admin token can be made: any other would close the server to whoever
    /// could make more.
    pub async fn create(
        &self,
        name: &str,
        scopes: Scopes,
        state: &dyn StateLog,
        now: Timestamp,
    ) -> Result<Secret<String>, StorageError> {
        let GeneratedToken { token, entry } = generate_token(name, scopes)?;
        let _changes = self.changes.lock().await;
        if !scopes.covers(Scopes::ADMIN) && !self.has_admin_besides("") {
            let message = "make an admin token first (`skopos token create NAME --scopes admin`, \
                           or an entry in auth.tokens or SKOPOS__AUTH__TOKENS): from the first \
                           token on, nobody could manage this server without one";
            return Err(StorageError::new(ErrorKind::InvalidInput, message));
        }
        if self.list().iter().any(|info| info.name == name) {
            let message = format!("there is a token named `{name}` already");
            return Err(StorageError::new(ErrorKind::InvalidInput, message));
        }
        let hash = entry.hash.expose().clone();
        let info = TokenInfo { name: name.into(), scopes, created_at: now };
        commit(state, name, Some(encode(&hash, &info)), now).await?;
        self.insert(hash, info);
        Ok(token)
    }

    /// Forgets a token made by [`Tokens::create`]; the last admin token only by `force`.
    pub async fn revoke(
        &self,
        name: &str,
        force: bool,
        state: &dyn StateLog,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let _changes = self.changes.lock().await;
        let records = state.load(StateKind::Token).await?;
        let record = records.iter().find(|record| record.key == name);
        let kept = record.and_then(|record| decode(name, record.value.as_deref()?));
        let Some((hash, info)) = kept else {
            let message = format!("no token named `{name}` was made by `skopos token create`");
            return Err(StorageError::new(ErrorKind::NotFound, message));
        };
        if !force && info.scopes.covers(Scopes::ADMIN) && !self.has_admin_besides(&hash) {
            let message = format!(
                "`{name}` is the last admin token: without it nobody can manage this server, unless \
                 an entry in auth.tokens (SKOPOS__AUTH__TOKENS) makes another; repeat with \
                 ?force=true (--force) if that is wanted"
            );
            return Err(StorageError::new(ErrorKind::InvalidInput, message));
        }
        commit(state, name, None, now).await?;
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(())
    }

    /// Whether there is an admin token with another hash than this.
    fn has_admin_besides(&self, hash: &str) -> bool {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        by_hash.iter().any(|(other, info)| other != hash && info.scopes.covers(Scopes::ADMIN))
    }

    fn insert(&self, hash: String, info: TokenInfo) {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(hash, info);
    }
}

async fn commit(
    state: &dyn StateLog,
    name: &str,
    value: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<(), StorageError> {
    let source = "tokens";
    let after = state.last_slot(source).await?.map_or(i64::MIN, |slot| slot.saturating_add(1));
    let id = CommitId { source: source.into(), slot: now.as_millis().max(after) };
    let record = StateRecord { kind: StateKind::Token, key: name.to_owned(), value };
    state.commit(StateCommit { id, records: vec![record], samples: Vec::new() }).await?;
    Ok(())
}

/// Version, scopes, creation time (big-endian nanoseconds), hash in hexadecimal.
fn encode(hash: &str, info: &TokenInfo) -> Vec<u8> {
    let mut out = vec![RECORD_VERSION, info.scopes.0];
    out.extend(info.created_at.as_nanos().to_be_bytes());
    out.extend(hash.as_bytes());
    out
}

fn decode(name: &str, value: &[u8]) -> Option<(String, TokenInfo)> {
    let (&[version, scopes], rest) = value.split_first_chunk::<2>()?;
    let (nanos, hash) = rest.split_first_chunk::<8>()?;
    let hash = std::str::from_utf8(hash).ok().filter(|hash| hash.len() == 64)?;
    let created_at = Timestamp(i64::from_be_bytes(*nanos));
    let info = TokenInfo { name: name.into(), scopes: Scopes(scopes), created_at };
    (version == RECORD_VERSION).then(|| (hash.to_owned(), info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_covers_everything_and_the_others_only_themselves() {
        let all = [Scopes::INGEST, Scopes::READ, Scopes::ADMIN];
        let covered = |has: Scopes| all.map(|wanted| has.covers(wanted));
        assert_eq!(covered(Scopes::INGEST), [true, false, false]);
        assert_eq!(covered(Scopes::READ), [false, true, false]);
        assert_eq!(covered(Scopes::ADMIN), [true, true, true]);
        assert_eq!(
            Scopes::parse("read+ingest").map(|s| s.to_string()).as_deref(),
            Some("ingest+read")
        );
        assert_eq!(Scopes::parse("write"), None);
        assert_eq!(Scopes::parse(""), None);
    }

    #[test]
    fn names_are_plain_words() {
        let long = "x".repeat(64);
        for name in ["ci", "Checkout-2.prod_eu", "-", &long] {
            assert!(generate_token(name, Scopes::READ).is_ok(), "{name}");
        }
        let longer = "x".repeat(65);
        for name in ["", &longer, "a b", "a/b", "a:b", "a,b", "é", "a\n", "a\u{202e}b", "%2e"] {
            assert!(generate_token(name, Scopes::READ).is_err(), "{name:?}");
        }
    }

    #[test]
    fn records_round_trip_and_damage_is_noticed() {
        let info = TokenInfo { name: "ci".into(), scopes: Scopes::READ, created_at: Timestamp(7) };
        let hash = hash_token("x");
        let bytes = encode(&hash, &info);
        assert_eq!(decode("ci", &bytes), Some((hash, info)));
        for cut in 0..bytes.len() {
            assert_eq!(decode("ci", &bytes[..cut]), None);
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(decode("ci", &newer), None);
    }
}
