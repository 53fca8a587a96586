//! Helm charts: metadata, values, and templates as far as static reading goes.
//!
//! A template is not rendered: that would need a whole engine and values nobody deploys with.
//! Instead each `{{ … }}` is masked by as many bytes, the rest is read as YAML, and scalars that hold
//! a template get their source back, so that `path: {{ .Values.probe.path }}` reads as that text.
//! [`resolve`] puts values in where an expression is a plain reference with or without a default.
//! Everything under a condition is read as if it were there. What loops and `include` make is not seen.

use std::ops::Range;
use std::sync::Arc;

use super::node::{Node, NodeKind, Style};
use super::text::Text;
use crate::Span;

/// `Chart.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// The chart's name.
    pub name: Text,
    /// Whether it holds only helpers for other charts.
    pub is_library: bool,
    /// Charts it brings along, by name.
    pub dependencies: Vec<Text>,
}

/// Whether a path is a template of a chart.
pub fn is_template(path: &str) -> bool {
    path.starts_with("templates/") || path.contains("/templates/")
}

/// Reads a `Chart.yaml`.
pub fn read_chart(root: &Node) -> Option<Chart> {
    Some(Chart {
        name: root.text_at("name")?,
        is_library: root.get("type").text() == Some("library"),
        dependencies: root
            .get("dependencies")
            .items()
            .iter()
            .filter_map(|item| item.text_at("name"))
            .collect(),
    })
}

/// A template with its expressions masked.
#[derive(Debug)]
pub struct Masked {
    /// As long as the source, byte for byte, and with the same lines.
    pub text: String,
    /// The bytes that were masked.
    pub ranges: Vec<Range<usize>>,
}

/// Masks `{{ … }}` and `{% … %}`.
///
/// What stands alone on its lines (conditions, loops, includes) becomes blank; what stands in a
/// value becomes a word.
pub fn mask(source: &str) -> Masked {
    let mut bytes = source.as_bytes().to_vec();
    let mut ranges = Vec::new();
    let mut lines = Around::default();
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let start = at + found;
        let rest = &source[start..];
        let end = match () {
            () if rest.starts_with("{{") => start + end_of_action(rest),
            () if rest.starts_with("{%") => {
                start + rest.find("%}").map_or(rest.len(), |end| end + 2)
            }
            () => {
                at = start + 1;
                continue;
            }
        };
        let before_is_blank = lines.first_solid(source, start).is_none_or(|solid| solid >= start)
            || ranges.last().is_some_and(|last: &Range<usize>| {
                last.end <= start
                    && source[last.end..start].trim().is_empty()
                    && bytes.get(last.start) == Some(&b' ')
            });
        let is_alone = before_is_blank && lines.last_solid(source, end).is_none_or(|at| at < end);
        let filler = if is_alone { b' ' } else { b'x' };
        for byte in &mut bytes[start..end] {
            if *byte != b'\n' {
                *byte = filler;
            }
        }
        ranges.push(start..end);
        at = end;
    }
    // Only whole actions were overwritten, which begin and end with ASCII.
    let text = String::from_utf8(bytes).unwrap_or_else(|_| " ".repeat(source.len()));
    Masked { text, ranges }
}

/// What stands around actions on their lines. Asked from front to back: a line is looked at once, however many
/// actions it has.
#[derive(Default)]
struct Around {
    /// How far line breaks were looked for, and where the line there begins.
    seen: usize,
    start: usize,
    /// Of the line that begins at `.0`, the first byte that is no white space.
    first: Option<(usize, Option<usize>)>,
    /// Of the line that ends at `.0`, the last byte that is neither white space nor in an action.
    last: Option<(usize, Option<usize>)>,
}

impl Around {
    /// The first byte that is no white space on the line of this one.
    fn first_solid(&mut self, source: &str, at: usize) -> Option<usize> {
        if let Some(end) = source[self.seen..at].rfind('\n') {
            self.start = self.seen + end + 1;
        }
        self.seen = at;
        match self.first {
            Some((start, first)) if start == self.start => first,
            _ => {
                let first = source[self.start..].find(|c: char| !c.is_whitespace() || c == '\n');
                let first = first.map(|first| self.start + first);
                self.first = Some((self.start, first));
                first
            }
        }
    }

    /// The last byte behind this one, on its line, that is neither white space nor in an action: `{{ if a }}{{ end }}`
    /// has none.
    fn last_solid(&mut self, source: &str, from: usize) -> Option<usize> {
        if let Some((end, last)) = self.last
            && from <= end
        {
            return last;
        }
        let end =
            memchr::memchr(b'\n', &source.as_bytes()[from..]).map_or(source.len(), |n| from + n);
        let (mut at, mut last) = (from, None);
        while at < end {
            let open = source[at..end].find("{{").map_or(end, |open| at + open);
            let solid = source[at..open].trim_end();
            if !solid.is_empty() {
                last = Some(at + solid.len() - 1);
            }
            at = open + end_of_action(&source[open..end]);
        }
        self.last = Some((end, last));
        last
    }
}

/// How long the action is that a text begins with: quoted `}}` do not end it.
fn end_of_action(text: &str) -> usize {
    if text.starts_with("{{/*") || text.starts_with("{{- /*") {
        return text
            .find("*/")
            .and_then(|at| text[at..].find("}}").map(|end| at + end + 2))
            .unwrap_or(text.len());
    }
    let bytes = text.as_bytes();
    let mut at = 2;
    let mut quote = None;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'`') => quote = Some(bytes[at]),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return at + 2,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Gives scalars that hold masked bytes their source back.
pub fn unmask(node: &Arc<Node>, source: &str, masked: &Masked) -> Arc<Node> {
    let kind = match &node.kind {
        NodeKind::Null => NodeKind::Null,
        NodeKind::Scalar { text, style } => {
            let span = node.span.start as usize..node.span.end as usize;
            let first = masked.ranges.partition_point(|range| range.end <= span.start);
            let is_masked = masked.ranges.get(first).is_some_and(|range| range.start < span.end);
            if !is_masked || *style == Style::Block {
                return node.clone();
            }
            let raw = source.get(span).unwrap_or(text);
            let raw = match style {
                Style::Quoted => raw.get(1..raw.len().saturating_sub(1)).unwrap_or(raw),
                _ => raw,
            };
            NodeKind::Scalar { text: raw.to_owned(), style: *style }
        }
        NodeKind::Sequence(items) => {
            NodeKind::Sequence(items.iter().map(|item| unmask(item, source, masked)).collect())
        }
        NodeKind::Mapping(entries) => NodeKind::Mapping(
            entries
                .iter()
                .map(|(k, v)| {
                    let whole = v.is_null().then(|| from_values(k, source, masked)).flatten();
                    let value = whole.unwrap_or_else(|| unmask(v, source, masked));
                    (unmask(k, source, masked), value)
                })
                .collect(),
        ),
    };
    Arc::new(Node { kind, span: node.span })
}

/// What a key gets whole from the values, as a reference to them: `livenessProbe: {{- toYaml .Values.livenessProbe | … }}`,
/// or `toYaml .` within `with .Values.livenessProbe`.
fn from_values(key: &Node, source: &str, masked: &Masked) -> Option<Arc<Node>> {
    let end = key.span.end as usize;
    let next = masked.ranges.partition_point(|range| range.start < end);
    let range = masked.ranges.get(next)?;
    let between = source.get(end..range.start)?;
    let inner = |range: &Range<usize>| source.get(range.clone()).unwrap_or_default();
    let words = |range: &Range<usize>| -> Vec<&str> {
        inner(range).trim_matches(['{', '}', '-', ' ', '\n']).split_whitespace().collect()
    };
    let own = words(range);
    if !between.trim_start_matches(['"', '\'']).trim_start_matches(':').trim().is_empty()
        || own.first() != Some(&"toYaml")
    {
        return None;
    }
    let path = match own.get(1)? {
        path if path.starts_with(".Values.") => (*path).to_owned(),
        &"." => {
            let mut closed = 0;
            let open = masked.ranges[..next].iter().rev().take(64).find(|range| {
                match words(range).first() {
                    Some(&"end") => closed += 1,
                    Some(&("if" | "with" | "range" | "define" | "block")) if closed > 0 => {
                        closed -= 1;
                    }
                    Some(&("if" | "with" | "range" | "define" | "block")) => return true,
                    _ => {}
                }
                false
            })?;
            let around = words(open);
            let path = around.get(1).filter(|_| around.first() == Some(&"with"))?;
            path.strip_prefix("$").unwrap_or(path).to_owned()
        }
        _ => return None,
    };
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_');
    let is_plain = path.strip_prefix(".Values.").is_some_and(|rest| rest.chars().all(is_path));
    is_plain.then(|| {
        let kind = NodeKind::Scalar { text: format!("{{{{ {path} }}}}"), style: Style::Plain };
        let span = Span::new(range.start, range.end);
        Arc::new(Node { kind, span })
    })
}

/// Whether a text holds an expression of a template.
pub fn is_open(text: &str) -> bool {
    text.contains("{{")
}

/// The text with `{{ .Values.a.b }}` replaced from the chart's values, or by its `default`; none when
/// any expression is more than that.
pub fn resolve(text: &str, values: Option<&Node>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        out.push_str(&rest[..open]);
        let end = end_of_action(&rest[open..]);
        let action = rest[open..open + end].trim_matches(['{', '}', '-', ' ', '\t', '\n']);
        out.push_str(&reference(action, values)?);
        rest = &rest[open + end..];
    }
    out.push_str(rest);
    Some(out)
}

/// The path of the value that a text is, where it is one reference and nothing else: `{{ .Values.log.level | quote }}` →
/// `log.level`.
pub fn value_path(text: &str) -> Option<&str> {
    let text = text.trim();
    let action = text.strip_prefix("{{").filter(|_| end_of_action(text) == text.len())?;
    let action = action.trim_start_matches(['-', ' ', '\t']).strip_prefix(".Values.")?;
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_');
    let end = action.find(|c| !is_path(c)).unwrap_or(action.len());
    (end > 0).then_some(&action[..end])
}

fn reference(action: &str, values: Option<&Node>) -> Option<String> {
    let mut parts = action.split('|').map(str::trim);
    let path = parts.next()?.strip_prefix(".Values.")?;
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !path.chars().all(is_path) {
        return None;
    }
    let mut value = values.and_then(|values| values.at(path).text().map(str::to_owned));
    for part in parts {
        let (name, argument) = part.split_once(' ').unwrap_or((part, ""));
        match name {
            "quote" | "squote" | "toString" | "int" | "trim" | "int64" => {}
            "default" => {
                let argument = argument.trim().trim_matches(['"', '`']);
                value =
                    value.filter(|value| !value.is_empty()).or_else(|| Some(argument.to_owned()));
            }
            _ => return None,
        }
    }
    value
}

/// Reads any bytes as a template, for the fuzzer: masks are as long as their source.
pub fn fuzz_audit_helm(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let masked = mask(&source);
    assert_eq!(masked.text.len(), source.len());
    assert_eq!(masked.text.matches('\n').count(), source.matches('\n').count());
    for document in super::yaml::read(&masked.text).documents {
        let _ = unmask(&document, &source, &masked);
    }
    let _ = (resolve(&source, None), value_path(&source));
}

/// What of a chart's values a span of a template depends on, for messages.
pub fn expression(text: &str) -> Option<&str> {
    let open = text.find("{{")?;
    Some(&text[open..open + end_of_action(&text[open..])])
}

/// The place of a text in a template, when it holds an expression.
pub fn open_span(text: &Text) -> Option<Span> {
    is_open(text).then_some(text.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"{{- if .Values.enabled }}
kind: Deployment
apiVersion: apps/v1
metadata:
  name: {{ include "x.name" . }}
  labels:
    {{- include "x.labels" . | nindent 4 }}
spec:
  template:
    spec:
      containers:
        - name: {{ .Chart.Name }}
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default "latest" }}"
          {{- with .Values.livenessProbe }}
          livenessProbe:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          readinessProbe:
            httpGet: { path: {{ .Values.ready | default "/ready" | quote }}, port: http }
{{- end }}
"#;

    #[test]
    fn a_template_is_read_with_its_expressions() {
        let masked = mask(TEMPLATE);
        assert_eq!(masked.text.len(), TEMPLATE.len());
        let found = crate::files::yaml::read(&masked.text);
        assert!(found.problems.is_empty(), "{:?}\n{}", found.problems, masked.text);
        let root = unmask(&found.documents[0], TEMPLATE, &masked);
        let container = &root.at("spec.template.spec.containers").items()[0];
        assert!(container.has("livenessProbe"));
        let values = crate::files::yaml::read("image: {repository: shop/api}\n");
        let values = values.documents.first().map(|n| &**n);
        let image = container.get("image").text().unwrap();
        assert_eq!(resolve(image, values).as_deref(), Some("shop/api:latest"));
        let path = container.at("readinessProbe.httpGet.path").text().unwrap();
        assert_eq!(resolve(path, None).as_deref(), Some("/ready"));
        assert_eq!(resolve("{{ include \"x\" . }}", values), None);
        assert_eq!(value_path("{{- .Values.log.level | quote }}"), Some("log.level"));
        assert_eq!(value_path("{{ .Values.a }}-{{ .Values.b }}"), None);
    }
}
