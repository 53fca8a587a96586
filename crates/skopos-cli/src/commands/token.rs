//! `skopos token`: access tokens of a running server.

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::json;
use skopos_server::auth::{GeneratedToken, Scopes, generate_token};

use crate::Outcome;
use crate::cli::{GlobalArgs, ServerArgs};
use crate::client::{Client, block_on};
use crate::output::{Format, columns, print_json, write_stdout};

const PATH: &str = "/api/v1/skopos/tokens";

/// Create, list and revoke access tokens.
///
/// A server without tokens listens on loopback only, and everyone on the machine may use it. From
/// the first token on, every request but probes and /metrics needs one. Tokens are stored hashed.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  skopos token create admin --scopes admin       shown once; keep it
  export SKOPOS_TOKEN=...
  skopos token create checkout --scopes ingest
  skopos token create admin --scopes admin --offline    before the first start beyond loopback
  skopos token list")]
pub(crate) enum TokenCommand {
    /// Make a token and show it, once.
    Create {
        /// Its name.
        name: String,
        /// What it opens: ingest, read, admin, or several joined by `+`.
        #[arg(long, value_name = "SCOPES")]
        scopes: String,
        /// Ask no server: show the token and, below it, the entry for the server's configuration
        /// (`auth.tokens`, or SKOPOS__AUTH__TOKENS).
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List tokens: names and scopes.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Revoke a token.
    Revoke {
        /// Its name.
        name: String,
        /// Revoke it even when it is the last admin token.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(crate) fn run(command: TokenCommand, global: &GlobalArgs) -> Result<Outcome> {
    match command {
        TokenCommand::Create { name, scopes, offline: true, .. } => {
            create_offline(&name, &scopes, global.format)?;
        }
        TokenCommand::Create { name, scopes, server, .. } => {
            let body = json!({ "name": name, "scopes": scopes });
            let answer = block_on(Client::new(&server)?.post(PATH, &body))?;
            match global.format {
                Format::Text => {
                    write_stdout(&format!("{}\n", answer["token"].as_str().unwrap_or("")));
                    eprintln!("{name}: {scopes}. It is not shown again; revoke it by its name.");
                }
                format => print_json(&answer, format),
            }
        }
        TokenCommand::List { server } => {
            let answer = block_on(Client::new(&server)?.get(PATH, &[]))?;
            let tokens = answer["tokens"].as_array().map_or(&[][..], Vec::as_slice);
            let cell = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
            let row = |t: &serde_json::Value| {
                vec![cell(&t["name"]), cell(&t["scopes"]), cell(&t["created_at"])]
            };
            match global.format {
                Format::Text if tokens.is_empty() => eprintln!("there are no tokens"),
                Format::Text => {
                    write_stdout(&columns(&tokens.iter().map(row).collect::<Vec<_>>()));
                }
                format => print_json(&answer, format),
            }
            if tokens.is_empty() {
                return Ok(Outcome::NothingFound);
            }
        }
        TokenCommand::Revoke { name, force, server } => {
            let query = if force { "?force=true" } else { "" };
            block_on(Client::new(&server)?.delete(&format!("{PATH}/{name}{query}")))?;
            eprintln!("{name} is revoked");
        }
    }
    Ok(Outcome::Done)
}

fn create_offline(name: &str, scopes: &str, format: Format) -> Result<()> {
    let scopes =
        Scopes::parse(scopes).context("scopes are ingest, read and admin, joined by `+`")?;
    let GeneratedToken { token, entry } = generate_token(name, scopes)?;
    match format {
        Format::Text => {
            write_stdout(&format!("{}\n{}\n", token.expose(), entry.line()));
            eprintln!(
                "Above the token, not shown again; below it its entry, which holds no secret, for \
                 auth.tokens in the server's configuration or SKOPOS__AUTH__TOKENS."
            );
        }
        format => print_json(
            &json!({
                "name": name,
                "scopes": scopes.to_string(),
                "token": token.expose(),
                "entry": entry.line(),
            }),
            format,
        ),
    }
    Ok(())
}
