//! What a rule says of a service: four verdicts, so that absence of evidence is never taken for evidence.

use crate::Place;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as the rule says it should not be.
    Finding,
    /// It would be, but something elsewhere makes good for it.
    Mitigated {
        /// Where.
        at: Place,
    },
    /// It cannot be told from this repository.
    Unknown {
        /// What would settle it.
        settle: String,
    },
}

impl Verdict {
    /// The name in output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Mitigated { .. } => "mitigated",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// One thing that a rule has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What of it.
    pub verdict: Verdict,
    /// Where; a service's main evidence when the rule names no place.
    pub place: Option<Place>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it, where that differs from the rule's own fix.
    pub hint: Option<String>,
}

/// What a rule says of one service or of the repository. Nothing said is *clean*.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// What was said.
    pub said: Vec<Judgement>,
    /// The rule has no say here (a worker has no routes): neither clean nor wrong.
    pub is_not_applicable: bool,
}

impl Verdicts {
    /// Reports a finding at a place.
    pub fn finding(&mut self, place: Place, message: impl Into<String>) -> &mut Judgement {
        self.push(Verdict::Finding, Some(place), message.into())
    }

    /// Reports that something is absent from the whole service.
    pub fn absent(&mut self, message: impl Into<String>) -> &mut Judgement {
        self.push(Verdict::Finding, None, message.into())
    }

    /// Reports what would be a finding, were it not for `at`.
    pub fn mitigated(&mut self, place: Option<Place>, at: Place, message: impl Into<String>) {
        self.push(Verdict::Mitigated { at }, place, message.into());
    }

    /// Reports that it cannot be told, and what would settle it.
    pub fn unknown(&mut self, message: impl Into<String>, settle: impl Into<String>) {
        self.push(Verdict::Unknown { settle: settle.into() }, None, message.into());
    }

    /// Says that the rule has no say here.
    pub fn not_applicable(&mut self) {
        self.is_not_applicable = true;
    }

    fn push(&mut self, verdict: Verdict, place: Option<Place>, message: String) -> &mut Judgement {
        self.said.push(Judgement { verdict, place, message, hint: None });
        self.said.last_mut().expect("just pushed")
    }
}
