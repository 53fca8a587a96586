//! Walks the tree and writes the output, within limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bounds::Made;
use super::functions::{self, Surroundings};
use super::notification::{self, Library};
use super::parser::{Branch, Command, Node, Operand, Parsed, Pipeline, Term, not_defined};
use super::text::escape_html;
use super::time;
use super::value::{AlertData, Value};
use super::{TemplateData, TemplateError, TemplateHost};

/// Longest output of a rule's template, bytes.
const MAX_OUTPUT: usize = 64 << 10;
/// Longest output of a notification's template, which may list many alerts.
const MAX_NOTIFICATION: usize = 1 << 20;
/// Most nodes and commands executed.
const MAX_STEPS: usize = 100_000;
/// Deepest calls of templates by templates.
const MAX_CALLS: usize = 50;

pub(super) fn expand(
    parsed: &Parsed,
    data: &TemplateData,
    host: &dyn TemplateHost,
) -> Result<String, TemplateError> {
    let labels: BTreeMap<String, String> =
        data.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let labels = Arc::new(labels);
    let external_labels = Arc::new(data.external_labels.clone());
    let external_url: Arc<str> = data.external_url.as_str().into();
    let alert = Value::Alert(Arc::new(AlertData {
        labels: labels.clone(),
        external_labels: external_labels.clone(),
        external_url: external_url.clone(),
        value: data.value,
    }));
    let preset = [
        ("", alert.clone()),
        ("labels", Value::Labels(labels)),
        ("externalLabels", Value::Labels(external_labels)),
        ("externalURL", Value::Text(external_url)),
        ("value", Value::Float(data.value)),
    ];
    let mut run = Run {
        parsed,
        around: Surroundings { host, external_url: &data.external_url },
        variables: preset.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        library: None,
        html: false,
        max_output: MAX_OUTPUT,
        out: String::new(),
        steps: 0,
        calls: 0,
        made: Made::default(),
    };
    run.nodes(&parsed.body, &alert)?;
    Ok(run.out)
}

/// Expands a template of a notification.
pub(super) fn expand_notification(
    parsed: &Parsed,
    library: &Library,
    data: &Value,
    host: &dyn TemplateHost,
    html: bool,
) -> Result<String, TemplateError> {
    let mut run = Run {
        parsed,
        library: Some(library),
        html,
        max_output: MAX_NOTIFICATION,
        around: Surroundings { host, external_url: "" },
        variables: vec![(String::new(), data.clone())],
        out: String::new(),
        steps: 0,
        calls: 0,
        made: Made::default(),
    };
    run.nodes(&parsed.body, data)?;
    Ok(run.out)
}

struct Run<'a> {
    parsed: &'a Parsed,
    /// The templates of other files: there is one exactly when this is a notification's template.
    library: Option<&'a Library>,
    /// Whether the output is HTML, so that values are escaped.
    html: bool,
    max_output: usize,
    around: Surroundings<'a>,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
    calls: usize,
    made: Made,
}

/// Whether to go on in the enclosing `range`.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl Run<'_> {
    fn step(&mut self, offset: usize) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(TemplateError::new(
                offset,
                format!("template takes more than {MAX_STEPS} steps"),
            ));
        }
        if self.out.len() > self.max_output {
            let message = format!("output is longer than {} bytes", self.max_output);
            return Err(TemplateError::new(offset, message));
        }
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        self.step(0)?;
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.write(pipeline, &value);
                    self.step(pipeline.offset)?;
                }
            }
            Node::If(branch) => {
                let scope = self.variables.len();
                let value = self.pipeline(&branch.pipeline, dot)?;
                let body = if value.is_true() { &branch.body } else { &branch.otherwise };
                let flow = self.nodes(body, dot)?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::With(branch) => {
                let scope = self.variables.len();
                let value = self.pipeline(&branch.pipeline, dot)?;
                let flow = match value.is_true() {
                    true => self.nodes(&branch.body, &value)?,
                    false => self.nodes(&branch.otherwise, dot)?,
                };
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { name, argument, offset } => {
                let argument = match argument {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => Value::Nil,
                };
                self.template(name, argument, *offset)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, pipeline: &Pipeline, value: &Value) {
        let text = match value {
            Value::Nil => "<no value>".into(),
            value if self.library.is_some() => notification::show(value),
            value => value.print(),
        };
        let last = pipeline.commands.last().and_then(|command| command.operands.first());
        let escapes = |operand: &Operand| match &operand.term {
            Term::Function(name) => matches!(name.as_str(), "html" | "urlquery"),
            _ => false,
        };
        let is_safe = matches!(value, Value::Safe(_)) || last.is_some_and(escapes);
        match self.html && !is_safe {
            true => self.out.push_str(&escape_html(&text)),
            false => self.out.push_str(&text),
        }
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let pipeline = &branch.pipeline;
        let scope = self.variables.len();
        let value = self.commands(pipeline, dot)?;
        let items: Vec<(Value, Value)> = match &value {
            Value::List(items) => {
                let numbered = items.iter().zip(0..);
                numbered.map(|(item, at)| (Value::Int(at), item.clone())).collect()
            }
            Value::Labels(map) => {
                map.iter().map(|(k, v)| (Value::from(k.clone()), Value::from(v.clone()))).collect()
            }
            Value::Map(map) => {
                map.iter().map(|(k, v)| (Value::from(k.clone()), v.clone())).collect()
            }
            Value::Int(n) if *n <= MAX_STEPS as i64 => {
                (0..*n).map(|at| (Value::Int(at), Value::Int(at))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let message = format!("range can't iterate over {}", other.print());
                return Err(TemplateError::new(pipeline.offset, message));
            }
        };
        if items.is_empty() {
            let flow = self.nodes(&branch.otherwise, dot)?;
            self.variables.truncate(scope);
            return Ok(flow);
        }
        for (key, item) in items {
            self.step(pipeline.offset)?;
            let given = match pipeline.variables.len() {
                2 => vec![key, item.clone()],
                1 => vec![item.clone()],
                _ => Vec::new(),
            };
            for (name, value) in pipeline.variables.iter().zip(given) {
                self.set(name, value, pipeline.declares);
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn template(
        &mut self,
        name: &str,
        argument: Value,
        offset: usize,
    ) -> Result<(), TemplateError> {
        let (parsed, library) = (self.parsed, self.library);
        let own = parsed.defined.get(name);
        let Some(body) = own.or_else(|| library.and_then(|library| library.body(name))) else {
            return Err(not_defined(name, offset));
        };
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(TemplateError::new(offset, "templates call each other too deeply"));
        }
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), argument.clone())]);
        let result = self.nodes(body, &argument);
        self.variables = outer;
        self.calls -= 1;
        result.map(drop)
    }

    fn set(&mut self, name: &str, value: Value, declare: bool) {
        if declare {
            self.variables.push((name.into(), value));
        } else if let Some((_, slot)) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            *slot = value;
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        if let [name] = &pipeline.variables[..] {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            self.step(pipeline.offset)?;
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let (first, rest) = command.operands.split_first().expect("the parser wants one operand");
        if let Term::Function(name) = &first.term {
            let value = self.function(name, rest, dot, piped, first.offset)?;
            return self.fields(value, &first.fields, first.offset);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot);
        }
        // The last field is a method: only times have any.
        let Some((method, path)) = first.fields.split_last() else {
            return Err(TemplateError::new(first.offset, "can't give argument to non-function"));
        };
        let term = self.term(&first.term, dot)?;
        let target = self.fields(term, path, first.offset)?;
        let mut arguments = Vec::new();
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        match (&target, method.as_str(), &arguments[..]) {
            (Value::Time(ms), "Format", [Value::Text(layout)]) => {
                return Ok(Value::from(time::format_layout(*ms, None, layout)));
            }
            _ if self.library.is_some() => {
                if let Some(value) = notification::call_method(&target, method, &arguments) {
                    return Ok(value);
                }
            }
            _ => {}
        }
        let message = format!("{method} is not a method but has arguments");
        Err(TemplateError::new(first.offset, message))
    }

    fn function(
        &mut self,
        name: &str,
        operands: &[Operand],
        dot: &Value,
        piped: Option<Value>,
        offset: usize,
    ) -> Result<Value, TemplateError> {
        if matches!(name, "and" | "or") {
            // These stop at the first argument that decides.
            let mut last = None;
            for operand in operands {
                let value = self.operand(operand, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
                last = Some(value);
            }
            return piped.or(last).ok_or_else(|| {
                TemplateError::new(
                    offset,
                    format!("wrong number of args for {name}: want at least 1 got 0"),
                )
            });
        }
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        if let ("tmpl", [Value::Text(template), argument]) = (name, &arguments[..]) {
            let (template, argument) = (template.clone(), argument.clone());
            let outer = std::mem::take(&mut self.out);
            let result = self.template(&template, argument, offset);
            let inner = std::mem::replace(&mut self.out, outer);
            return result.map(|()| Value::from(inner));
        }
        let bounded = self.made.before(name, &arguments);
        bounded.map_err(|message| TemplateError::new(offset, message))?;
        let called = match self.library {
            Some(_) => notification::call(name, &arguments, &self.around),
            None => functions::call(name, &arguments, &self.around),
        };
        called.map_err(|message| TemplateError::new(offset, message))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        let term = match &operand.term {
            Term::Function(name) => self.function(name, &[], dot, None, operand.offset)?,
            term => self.term(term, dot)?,
        };
        self.fields(term, &operand.fields, operand.offset)
    }

    fn term(&mut self, term: &Term, dot: &Value) -> Result<Value, TemplateError> {
        Ok(match term {
            Term::Dot => dot.clone(),
            Term::Nil | Term::Function(_) => Value::Nil,
            Term::Literal(value) => value.clone(),
            Term::Variable(name) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Term::Parens(pipeline) => self.pipeline(pipeline, dot)?,
        })
    }

    fn fields(
        &self,
        mut value: Value,
        path: &[String],
        offset: usize,
    ) -> Result<Value, TemplateError> {
        for name in path {
            if self.library.is_some()
                && let Some(found) = notification::method(&value, name)
            {
                value = found;
                continue;
            }
            value = match (&value, name.as_str()) {
                (Value::Time(_), "UTC") => value,
                (Value::Time(_), "String") => Value::from(value.print()),
                (Value::Time(ms), name) => {
                    time::part(*ms, name).map(Value::Int).ok_or_else(|| {
                        let message = format!("can't evaluate field {name} in type *time.Time");
                        TemplateError::new(offset, message)
                    })?
                }
                (Value::Duration(nanos), "Seconds") => Value::Float(*nanos as f64 / 1e9),
                (value, name) => {
                    value.field(name).map_err(|message| TemplateError::new(offset, message))?
                }
            };
        }
        Ok(value)
    }
}
