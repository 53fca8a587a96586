//! Which environment a file is for, as far as its path or a name says.

use serde::Serialize;

/// An environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Users depend on it.
    Production,
    /// Like production, without users.
    Staging,
    /// On a developer's machine.
    Development,
    /// In a test run.
    Test,
    /// Nothing says.
    #[default]
    Unsaid,
}

impl Environment {
    /// By a word: a profile, an overlay, a namespace, the value of `NODE_ENV`.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "prod" | "production" | "prd" | "live" | "release" => Self::Production,
            "staging" | "stage" | "stg" | "uat" | "preprod" | "pre-prod" | "qa" => Self::Staging,
            "dev" | "develop" | "development" | "local" | "localhost" | "debug" | "devel"
            | "sandbox" | "override" | "example" | "sample" | "template" | "dist" | "minikube"
            | "kind" | "tilt" | "demo" | "devcontainer" | ".devcontainer" | "dev-local" => {
                Self::Development
            }
            "test" | "tests" | "testing" | "ci" | "e2e" | "integration" | "it" | "spec"
            | "testdata" | "fixtures" | "__tests__" => Self::Test,
            _ => Self::Unsaid,
        }
    }

    /// By a path: the words of its parts, the innermost first.
    pub fn of_path(path: &str) -> Self {
        for part in path.rsplit('/') {
            let whole = Self::from_name(part);
            if whole != Self::Unsaid {
                return whole;
            }
            for word in part.split(['.', '-', '_']).rev() {
                // Short words and endings of files are no names of environments.
                let found = Self::from_name(word);
                if word.len() > 2 && found != Self::Unsaid {
                    return found;
                }
            }
        }
        Self::Unsaid
    }

    /// Whether it may be production: said so, or not said.
    pub fn may_be_production(self) -> bool {
        matches!(self, Self::Production | Self::Unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_environments() {
        let cases = [
            ("deploy/overlays/prod/kustomization.yaml", Environment::Production),
            ("docker-compose.override.yml", Environment::Development),
            ("docker-compose.prod.yml", Environment::Production),
            ("src/main/resources/application-dev.yml", Environment::Development),
            (".env.example", Environment::Development),
            ("k8s/base/api.yaml", Environment::Unsaid),
            ("charts/api/values-staging.yaml", Environment::Staging),
            ("tests/compose.yml", Environment::Test),
        ];
        for (path, wanted) in cases {
            assert_eq!(Environment::of_path(path), wanted, "{path}");
        }
    }
}
