//! LIF004: who is process 1 of an image, and does it hand signals on?

use super::deployed;
use crate::files::dockerfile::Command;
use crate::{Case, Verdicts};

/// LIF004: a shell is process 1 and keeps SIGTERM to itself.
pub(super) fn shell(case: &Case<'_>, verdicts: &mut Verdicts) {
    let images = deployed::images(case);
    if images.is_empty() {
        verdicts.not_applicable();
        return;
    }
    let by_compose = deployed::composed(case).into_iter().find(|(_, service)| service.init);
    for (file, _, image) in images {
        // An ENTRYPOINT takes the CMD as its arguments: only what is started counts.
        let Some((command, span)) = image.entrypoint.as_ref().or(image.command.as_ref()) else {
            continue;
        };
        let line = command.line();
        let started = match command {
            Command::Shell(line) => line.as_str(),
            Command::Exec(words) => match words.as_slice() {
                [shell, flag, line, ..]
                    if is_shell(shell) && flag.starts_with("-") && flag.ends_with('c') =>
                {
                    line
                }
                _ => continue,
            },
        };
        let has_init = ["tini", "dumb-init", "catatonit", "s6-svscan", "/init"]
            .iter()
            .any(|init| line.contains(init));
        let last = started.rsplit(['&', ';']).next().unwrap_or(started).trim();
        if has_init || last.starts_with("exec ") || started.trim().is_empty() {
            continue;
        }
        let message = "started through a shell, which stays process 1 and does not hand SIGTERM on";
        match &by_compose {
            Some((other, service)) => {
                verdicts.mitigated(
                    Some(file.place(*span)),
                    other.place(service.name.span),
                    message,
                );
            }
            None => {
                let judgement = verdicts.finding(file.place(*span), message);
                if !started.contains(['|', '&', ';', '$', '<', '>', '`', '"', '\'']) {
                    let words: Vec<String> =
                        started.split_whitespace().map(|word| format!("\"{word}\"")).collect();
                    judgement.hint = Some(format!("write it as a list: [{}]", words.join(", ")));
                } else {
                    judgement.hint = Some(
                        "put `exec` before the last command, or start it through tini".to_owned(),
                    );
                }
            }
        }
    }
}

fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash" | "zsh"))
}
