//! What commands start: a folder whose image, Procfile or Compose service runs a server of WSGI or ASGI serves, even where
//! no line of its code makes one (Django without `wsgi.py`, an application that a setting names).

use crate::files::dockerfile::Command;
use crate::files::environment::Environment;
use crate::files::{Document, folder, name};
use crate::repository::Role;
use crate::rules::deployed;
use crate::service::{Evidence, Kind};
use crate::{Place, Repository};

/// Programs that serve what they are given.
const SERVERS: [&str; 9] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "granian",
    "waitress-serve",
    "uwsgi",
    "mod_wsgi-express",
    "twistd",
];

/// What the commands that start a unit make of it, and which of them says so.
pub(super) fn by_command(
    repository: &Repository,
    root: &str,
    files: &[usize],
) -> Option<(Kind, Evidence)> {
    let mut lines: Vec<(Place, String)> = Vec::new();
    for file in files.iter().map(|at| &repository.files[*at]) {
        if file.role != Role::Production || !Environment::of_path(&file.path).may_be_production() {
            continue;
        }
        for (_, document) in &file.documents {
            match document {
                Document::Dockerfile(dockerfile) => {
                    let Some(image) = dockerfile.image() else { continue };
                    let place = image.command.as_ref().or(image.entrypoint.as_ref());
                    let Some((_, span)) = place else { continue };
                    lines.push((file.place(*span), image.start_line()));
                }
                Document::Processes(processes) => {
                    let commands = processes.commands.iter();
                    lines.extend(commands.map(|(_, c)| (file.place(c.span), c.value.clone())));
                }
                _ => {}
            }
        }
    }
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        for (_, document) in &file.documents {
            let Document::Compose(compose) = document else { continue };
            for service in &compose.services {
                let is_built_here = service
                    .build
                    .as_ref()
                    .is_some_and(|build| deployed::join(folder(&file.path), build) == root);
                let commands = service.entrypoint.iter().chain(&service.command);
                let line = |(command, span): &(Command, _)| (file.place(*span), command.line());
                lines.extend(commands.filter(|_| is_built_here).map(line));
            }
        }
    }
    let kinds = [(Kind::Service, "serves"), (Kind::Worker, "consumes")];
    kinds.into_iter().find_map(|(kind, does)| {
        lines.iter().find_map(|(place, line)| {
            let (found, program) = started(line)?;
            let what = format!("{does} by `{program}`");
            (found == kind).then(|| (kind, Evidence { place: place.clone(), what }))
        })
    })
}

/// What a line of commands starts, and by which program.
fn started(line: &str) -> Option<(Kind, &str)> {
    let is_mark = |c: char| matches!(c, '"' | '\'' | ',' | '[' | ']' | ';' | '(' | ')');
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(is_mark)).collect();
    let server = words.iter().find(|word| SERVERS.contains(&name(word)));
    let django = || {
        let mut pairs = words.windows(2);
        pairs.find(|pair| name(pair[0]) == "manage.py" && pair[1] == "runserver")
    };
    if let Some(server) = server {
        return Some((Kind::Service, server));
    }
    if django().is_some() {
        return Some((Kind::Service, "manage.py runserver"));
    }
    let celery = words.iter().position(|word| name(word) == "celery")?;
    words[celery..].contains(&"worker").then_some((Kind::Worker, "celery worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_tell_servers_and_workers() {
        let of = |line| started(line).map(|(kind, _)| kind.as_str());
        assert_eq!(of("gunicorn shop.wsgi -b 0.0.0.0:80"), Some("service"));
        assert_eq!(of("sh -c \"exec /venv/bin/uvicorn shop:app\""), Some("service"));
        assert_eq!(of("python manage.py runserver 0.0.0.0:80"), Some("service"));
        assert_eq!(of("celery -A shop worker -l info"), Some("worker"));
        assert_eq!(of("python manage.py migrate"), None);
        assert_eq!(of("pip install gunicorn-like"), None);
    }
}
