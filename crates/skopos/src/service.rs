//! Who speaks: name, version and environment, on every log line and as the OpenTelemetry resource.

pub(crate) mod detect;

/// The service that the telemetry is about.
///
/// ```
/// let service = skopos::Service::new("order-service").version(env!("CARGO_PKG_VERSION")).environment("production");
/// assert_eq!(service.name(), "order-service");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Service {
    /// Names a service (`service.name`).
    ///
    /// ```
    /// let service = skopos::Service::new("order-service");
    /// # let _ = service;
    /// ```
    pub fn new(name: impl Into<String>) -> Service {
        Service { name: name.into(), version: None, environment: None, attributes: Vec::new() }
    }

    /// Sets `service.version`.
    ///
    /// ```
    /// let service = skopos::Service::new("order-service").version(env!("CARGO_PKG_VERSION"));
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Service {
        self.version = Some(version.into());
        self
    }

    /// Sets `deployment.environment.name`; `production` (or `prod`) turns on JSON log lines.
    /// `development` when it is not set.
    ///
    /// ```
    /// let service = skopos::Service::new("order-service").environment("staging");
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Service {
        self.environment = Some(environment.into());
        self
    }

    /// Adds a resource attribute. The environment's two names are [`Service::environment`] by another way.
    ///
    /// ```
    /// let service = skopos::Service::new("order-service").attribute("service.namespace", "shop");
    /// # let _ = service;
    /// ```
    #[must_use]
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Service {
        let (key, value) = (key.into(), value.into());
        if matches!(key.as_str(), "deployment.environment" | "deployment.environment.name") {
            return self.environment(value);
        }
        self.attributes.push((key, value));
        self
    }

    /// Returns the name.
    ///
    /// ```
    /// assert_eq!(skopos::Service::new("order-service").name(), "order-service");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A resource attribute.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// The environment; `development` when nobody said, as the guide has it.
    pub(crate) fn environment_or_default(&self) -> &str {
        self.environment.as_deref().unwrap_or("development")
    }

    /// Whether somebody sits before it.
    pub(crate) fn is_development(&self) -> bool {
        let environment = self.environment_or_default();
        ["development", "dev", "local"].iter().any(|name| environment.eq_ignore_ascii_case(name))
    }

    /// Whether it runs at somebody's desk: where it was said, or where nothing was said of a debug build. A release build of
    /// which nobody has said where it runs may stand before users.
    pub(crate) fn is_at_a_desk(&self, is_debug_build: bool) -> bool {
        self.is_development() && (self.environment.is_some() || is_debug_build)
    }

    pub(crate) fn is_production(&self) -> bool {
        self.environment.as_deref().is_some_and(|environment| {
            environment.eq_ignore_ascii_case("production")
                || environment.eq_ignore_ascii_case("prod")
        })
    }

    /// The attributes of the OpenTelemetry resource, without repeats.
    #[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
    pub(crate) fn resource(&self) -> Vec<(String, String)> {
        let mut resource = vec![("service.name".to_owned(), self.name.clone())];
        let mut put = |key: &str, value: String| {
            if !resource.iter().any(|(existing, _)| existing == key) {
                resource.push((key.to_owned(), value));
            }
        };
        if let Some(version) = &self.version {
            put("service.version", version.clone());
        }
        // The guide's name and the one that replaced it in the semantic conventions.
        put("deployment.environment.name", self.environment_or_default().to_owned());
        put("deployment.environment", self.environment_or_default().to_owned());
        for (key, value) in &self.attributes {
            put(key, value.clone());
        }
        put("telemetry.sdk.name", "skopos".to_owned());
        put("telemetry.sdk.language", "rust".to_owned());
        put("telemetry.sdk.version", env!("CARGO_PKG_VERSION").to_owned());
        resource
    }
}

#[cfg(test)]
mod tests {
    use super::Service;

    #[test]
    fn a_desk_is_where_it_was_said_or_where_a_debug_build_runs() {
        for (environment, is_debug_build, expected) in [
            (None, true, true),
            (None, false, false),
            (Some("development"), false, true),
            (Some("LOCAL"), true, true),
            (Some("production"), true, false),
            (Some("staging"), true, false),
        ] {
            let mut service = Service::new("shop");
            service.environment = environment.map(str::to_owned);
            let is_at_a_desk = service.is_at_a_desk(is_debug_build);
            assert_eq!(is_at_a_desk, expected, "{environment:?} {is_debug_build}");
        }
    }
}
