//! Alertmanager's notification templates: the data they are given, the named texts that are always
//! there, and those of the files under `templates`.
//!
//! The language is [`crate::template`]'s. Reading files is the host's affair; it gives their texts
//! to [`Templates::add_file`].

mod data;
mod defaults;

use skopos_model::Timestamp;

use crate::alertmanager::{Config, ConfigError, Integration, Place};
use crate::rules::nearest;
use crate::template::{Library, TemplateError, expand_notification};

pub use data::TemplateData;
pub(crate) use data::quote_meta;

/// Parses a text; whether the templates it calls exist is known once their files are read.
pub(crate) fn check(text: &str) -> Result<(), TemplateError> {
    Library::default().undefined(text).map(drop)
}

/// The named texts that receivers may use.
#[derive(Clone, Debug)]
pub struct Templates(Library);

impl Default for Templates {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Templates {
    /// The texts that are always there, under Alertmanager's names.
    pub fn builtin() -> Self {
        let mut library = Library::default();
        for text in [defaults::SHARED, defaults::RECEIVERS, defaults::EMAIL] {
            library.add("", text).expect("the built-in templates are tested to parse");
        }
        Self(library)
    }

    /// Takes in a file of definitions; later ones replace earlier ones of the same name. `file` is
    /// the file's base name, by which its own text can be called.
    pub fn add_file(&mut self, file: &str, text: &str) -> Result<(), FileError> {
        self.0.add(file, text).map_err(|error| FileError::new(file, text, error))
    }

    /// Expands a text. Without `{{` it is returned as it is.
    pub fn expand(&self, text: &str, data: &TemplateData) -> Result<String, TemplateError> {
        expand_notification(&self.0, text, data.root(), data.now(), false)
    }

    /// Expands a text whose output is HTML: values are escaped unless marked safe.
    pub fn expand_html(&self, text: &str, data: &TemplateData) -> Result<String, TemplateError> {
        expand_notification(&self.0, text, data.root(), data.now(), true)
    }

    /// The texts that call templates which nobody defines, as errors of the configuration.
    pub fn check(&self, config: &Config) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for integration in config.receivers.iter().flat_map(|receiver| &receiver.integrations) {
            for text in integration.texts() {
                let Ok(Some((name, _))) = self.0.undefined(&text) else { continue };
                let message = format!("template {name:?} is not defined in any file");
                let near = nearest(&name, self.0.names());
                let hint = near.map(|near| format!("did you mean {near:?}?"));
                let place = self.place_of(config, integration, &name);
                errors.push(config.source.error(place, "template", message, hint));
            }
        }
        errors
    }

    /// The first mention of a name in an integration.
    fn place_of(&self, config: &Config, integration: &Integration, name: &str) -> Place {
        config.source.find(integration.place, name).unwrap_or(integration.place)
    }
}

/// What is wrong with a template file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct FileError {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl FileError {
    fn new(file: &str, text: &str, error: TemplateError) -> Self {
        let before = text.get(..error.offset.min(text.len())).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message,
            hint: error.hint,
        }
    }
}

/// Reads arbitrary bytes as a template file and expands what it defines; for fuzzing.
pub fn fuzz_notification_template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut templates = Templates::builtin();
    match templates.add_file("fuzz.tmpl", text) {
        Err(error) => assert!(error.line <= text.split('\n').count(), "{error:?}"),
        Ok(()) => {
            let data = TemplateData::example(Timestamp::from_secs(1_700_000_000));
            let _ = templates.expand(r#"{{ template "fuzz.tmpl" . }}"#, &data);
            let _ = templates.expand_html(r#"{{ template "fuzz.tmpl" . }}"#, &data);
        }
    }
}
