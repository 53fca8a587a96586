//! E-mails.
//!
//! The `Message-Id` is made of the notification, so a repetition after a crash is the same message
//! to mailboxes that look at it. With threading, all e-mails about a group refer to one that never
//! was, which is how mail readers put them together.

use super::{Mail, RenderError, Words, hash};
use crate::alertmanager::Email;

pub(super) fn render(config: &Email, words: &Words<'_>) -> Result<Mail, RenderError> {
    let notification = words.notification;
    let mut headers = Vec::new();
    for (name, text) in &config.headers {
        let value = words.expand(&format!("headers.{name}"), text)?;
        // A line break would begin a new header.
        headers.push((name.clone(), value.replace(['\r', '\n'], " ").trim().to_string()));
    }
    let has = |name: &str| config.headers.iter().any(|(known, _)| known == name);
    let group = words.incident_key();
    if !has("Message-Id") {
        let of = format!("{group}/{}/{}", notification.receiver, notification.integration);
        let id = format!("<{}.{}@skopos>", notification.at.as_millis(), &hash(&of)[..32]);
        headers.push(("Message-Id".into(), id));
    }
    if config.threads {
        let day = match config.thread_by_date {
            true => format!("-{}", notification.at.to_string().get(..10).unwrap_or_default()),
            false => String::new(),
        };
        let thread = format!("<{}{day}@skopos>", &group[..32]);
        for name in ["In-Reply-To", "References"] {
            if !has(name) {
                headers.push((name.into(), thread.clone()));
            }
        }
    }
    let from = words.expand("from", &config.from)?;
    Ok(Mail {
        from: from.replace(['\r', '\n'], " "),
        to: words.expand("to", &config.to)?.replace(['\r', '\n'], " "),
        headers,
        text: words.expand("text", &config.text)?,
        html: words.expand_html("html", &config.html)?,
    })
}

pub(super) fn texts(config: &Email) -> Vec<String> {
    let own = [&config.to, &config.from, &config.html, &config.text].map(String::clone);
    own.into_iter().chain(config.headers.iter().map(|(_, text)| text.clone())).collect()
}
