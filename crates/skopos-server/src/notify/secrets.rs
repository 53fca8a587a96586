//! Reads secrets when they are needed, so that files can be rotated under a running server.

use skopos_alerting::alertmanager::{SecretSource, Source};
use skopos_alerting::notify::DeliveryOutcome;
use skopos_alerting::notify::receivers::Judgement;

use crate::config::Secret;

/// Largest file that is taken for a secret, bytes.
const MAX_SECRET: u64 = 64 << 10;

/// A secret's text. A file that cannot be read may be there at the next attempt.
pub(super) async fn read(
    source: &Source,
    secret: &SecretSource,
) -> Result<Secret<String>, DeliveryOutcome> {
    let path = match secret {
        SecretSource::Inline(secret) => return Ok(Secret::new(secret.expose().to_owned())),
        SecretSource::File(path) => source.resolve(&path.to_string_lossy()),
    };
    let too_large = || std::io::Error::other("it is too large for a secret");
    let read = async {
        if tokio::fs::metadata(&path).await?.len() > MAX_SECRET {
            return Err(too_large());
        }
        tokio::fs::read_to_string(&path).await
    };
    match read.await {
        Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        Err(error) => {
            let reason = format!("cannot read the secret file {}: {error}", path.display());
            Err(DeliveryOutcome::Judged(Judgement::Retry { reason, after: None }))
        }
    }
}

/// The same while starting: a file that is missing then is a mistake.
pub(super) fn read_now(source: &Source, secret: &SecretSource) -> std::io::Result<Vec<u8>> {
    match secret {
        SecretSource::Inline(secret) => Ok(secret.expose().as_bytes().to_vec()),
        SecretSource::File(path) => std::fs::read(source.resolve(&path.to_string_lossy())),
    }
}
