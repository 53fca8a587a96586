//! A silence as the state log holds it.

use skopos_model::{MatchOp, Timestamp};

use super::Silence;
use crate::codec::{DecodeError, Reader, Writer};
use crate::notify::matcher::Matcher;

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

pub(super) fn encode(silence: &Silence) -> Vec<u8> {
    let mut writer = Writer::new(1);
    writer.text(&silence.id);
    writer.unsigned(silence.matchers.len() as u64);
    for matcher in &silence.matchers {
        writer.text(matcher.name());
        let op = OPS.iter().position(|op| *op == matcher.op());
        writer.byte(op.map_or(0, |op| op as u8));
        writer.text(matcher.value());
    }
    for time in [silence.starts_at, silence.ends_at, silence.updated_at] {
        writer.signed(time.as_nanos());
    }
    writer.text(&silence.created_by);
    writer.text(&silence.comment);
    writer.finish()
}

pub(crate) fn decode(data: &[u8]) -> Result<Silence, DecodeError> {
    let mut reader = Reader::new(data, 1)?;
    let wrong = |what| DecodeError { what, offset: data.len() };
    let id = reader.text("id")?.to_owned();
    let mut matchers = Vec::new();
    for _ in 0..reader.unsigned("matchers")? {
        let name = reader.text("matcher")?;
        let op = OPS.get(usize::from(reader.byte("matcher")?)).copied();
        let value = reader.text("matcher")?;
        let matcher = Matcher::new(name, op.ok_or_else(|| wrong("matcher"))?, value);
        matchers.push(matcher.map_err(|_| wrong("matcher"))?);
    }
    let silence = Silence {
        id,
        matchers,
        starts_at: Timestamp(reader.signed("starts_at")?),
        ends_at: Timestamp(reader.signed("ends_at")?),
        updated_at: Timestamp(reader.signed("updated_at")?),
        created_by: reader.text("created_by")?.to_owned(),
        comment: reader.text("comment")?.to_owned(),
    };
    reader.finish()?;
    Ok(silence)
}
