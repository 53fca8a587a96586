//! Notes through the engine: each is checked, applied and returned as a commit.

use skopos_model::Timestamp;
use skopos_model::storage::{StateCommit, StateRecord};

use super::SloEngine;
use crate::slo::notes::{Annotation, Correction, GateOverride, NoteError};

impl SloEngine {
    /// Notes a deploy, an incident or anything else. The same note said again replaces itself, so that a
    /// pipeline may repeat it, and an incident may be given its end.
    pub fn annotate(
        &mut self,
        note: Annotation,
        now: Timestamp,
    ) -> Result<(Annotation, StateCommit), NoteError> {
        let (note, record) = self.notes.annotate(note, now.as_millis())?;
        Ok((note, self.note_commit(vec![record], now.as_millis())))
    }

    /// Takes a stretch of time out of an objective's account, with the reason. It shows beside the
    /// budget with what it changed.
    pub fn correct(
        &mut self,
        note: Correction,
        now: Timestamp,
    ) -> Result<(Correction, StateCommit), NoteError> {
        if self.slo(&note.slo).is_none() {
            return Err(NoteError::UnknownSlo(note.slo));
        }
        let (note, record) = self.notes.correct(note, now.as_millis())?;
        Ok((note.clone(), self.corrected(&note.slo, record, now)))
    }

    /// Takes a correction back; it stays on record.
    pub fn revoke_correction(
        &mut self,
        id: &str,
        now: Timestamp,
    ) -> Result<(Correction, StateCommit), NoteError> {
        let (note, record) = self.notes.revoke(id, now.as_millis())?;
        Ok((note.clone(), self.corrected(&note.slo, record, now)))
    }

    fn corrected(&mut self, slo: &str, record: StateRecord, now: Timestamp) -> StateCommit {
        let excluded = self.notes.excluded(slo);
        if let Some(state) = self.states.iter_mut().find(|state| state.slo.name == slo) {
            state.excluded = excluded;
        }
        self.note_commit(vec![record], now.as_millis())
    }

    /// Gives leave to deploy a service although the gate says no, for a while. Whoever asks must be
    /// named by the policies of the service's objectives, where these name anybody.
    pub fn override_gate(
        &mut self,
        note: GateOverride,
        now: Timestamp,
    ) -> Result<(GateOverride, StateCommit), NoteError> {
        let mut of_service = self.slos().filter(|slo| slo.service == note.service).peekable();
        if of_service.peek().is_none() {
            return Err(NoteError::UnknownService(note.service));
        }
        for slo in of_service {
            let allowed = &slo.policy.override_by;
            if !allowed.is_empty() && !allowed.contains(&note.by) {
                let allowed = allowed.join(", ");
                let (by, service) = (note.by, note.service);
                return Err(NoteError::NotAllowed { by, service, allowed });
            }
        }
        let (note, record) = self.notes.override_gate(note, now.as_millis())?;
        Ok((note, self.note_commit(vec![record], now.as_millis())))
    }

    /// All annotations that touch a stretch of time, of a service or of all, oldest first.
    pub fn annotations(
        &self,
        service: Option<&str>,
        start: Timestamp,
        end: Timestamp,
    ) -> Vec<Annotation> {
        let (start, end) = (start.as_millis(), end.as_millis());
        let touches = |note: &&Annotation| {
            service.is_none_or(|service| service == note.service)
                && note.start_ms <= end
                && note.end_ms.unwrap_or(note.start_ms) >= start
        };
        let mut found: Vec<Annotation> =
            self.notes.annotations.values().filter(touches).cloned().collect();
        found.sort_by_key(|note| (note.start_ms, note.id.clone()));
        found
    }

    /// All corrections, those taken back too, oldest first; of an objective or of all.
    pub fn corrections(&self, slo: Option<&str>) -> Vec<Correction> {
        let of_slo = |note: &&Correction| slo.is_none_or(|slo| slo == note.slo);
        let mut found: Vec<Correction> =
            self.notes.corrections.values().filter(of_slo).cloned().collect();
        found.sort_by_key(|note| (note.start_ms, note.id.clone()));
        found
    }

    /// All overrides of the gate, those that ended too, newest first.
    pub fn overrides(&self) -> Vec<GateOverride> {
        let mut found: Vec<GateOverride> = self.notes.overrides.values().cloned().collect();
        found.sort_by_key(|note| (std::cmp::Reverse(note.created_ms), note.id.clone()));
        found
    }
}
