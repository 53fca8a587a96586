//! What variables are by other signs than what they were assigned from: by the type that they are declared to have (messages
//! of brokers, requests, calls that an aspect stands around), and by what listens to what.

use crate::Span;
use crate::lang::ir::{Call, Expr, Module};

/// What clients of brokers call a message, by its type without pointers and generics.
const MESSAGES: &[&str] = &[
    "stan.Msg",
    "nats.Msg",
    "jetstream.Msg",
    "amqp.Delivery",
    "amqp091.Delivery",
    "kafka.Message",
    "sarama.ConsumerMessage",
    "kgo.Record",
    "pubsub.Message",
    "redis.Message",
    "nsq.Message",
    "mqtt.Message",
    "MQTT.Message",
    "types.Message",
    "sqs.Message",
    "ConsumerRecord",
    "TextMessage",
    "BytesMessage",
    "IncomingKafkaRecord",
];

/// Packages whose `Message` is one of a broker.
const BROKERS: &[&str] =
    &["amqp", "jms", "org.springframework.messaging", "microprofile.reactive.messaging"];

/// What a message of a broker carries.
const CARRIED: &[&str] = &[
    "Data",
    "Body",
    "Value",
    "Payload",
    "Data()",
    "Payload()",
    "value()",
    "getBody()",
    "getPayload()",
    "getText()",
];

/// Types of a whole request in Java.
const REQUESTS: &[&str] = &[
    "HttpServletRequest",
    "ServletRequest",
    "ServerHttpRequest",
    "ContentCachingRequestWrapper",
    "ContainerRequestContext",
];

/// Contexts of Go's frameworks: they hand out the request and its parts.
const CONTEXTS: &[&str] = &["gin.Context", "echo.Context", "fiber.Ctx"];

/// Types of a call that an aspect or an interceptor stands around.
const AROUND: &[&str] =
    &["JoinPoint", "ProceedingJoinPoint", "MethodInvocation", "InvocationContext"];

/// Annotations of methods that a broker's messages are given to.
const LISTENERS: &[&str] = &[
    "KafkaListener",
    "RabbitListener",
    "RabbitHandler",
    "KafkaHandler",
    "JmsListener",
    "SqsListener",
    "StreamListener",
    "Incoming",
];

impl Module {
    /// What a path is by the declared type of its first part.
    pub(super) fn of_types(
        &self,
        path: &str,
        span: Span,
        function: Option<usize>,
    ) -> Option<String> {
        let (root, rest) = path.split_once('.').map_or((path, ""), |(a, b)| (a, b));
        let is_plain = !root.is_empty() && !root.ends_with("()");
        let declared = self.declared(root, span, function).filter(|_| is_plain).or_else(|| {
            let at = self.last_value(root, span, function)?;
            let from = self.assigns.get(at)?.value.path()?;
            self.declared(from, span, function)
        })?;
        // An annotation stands before the type of a parameter.
        let bare = match declared.starts_with('@') {
            true => declared.rsplit(' ').next().unwrap_or(&declared),
            false => declared.trim_start_matches("<-").trim_start_matches("chan "),
        };
        let bare = bare.trim_start_matches(['*', '&', ' ']);
        let bare = bare.split('<').next().unwrap_or(bare);
        let is_of_broker = || {
            bare == "Message"
                && self
                    .imports
                    .iter()
                    .any(|i| BROKERS.iter().any(|broker| i.module.contains(broker)))
        };
        if MESSAGES.contains(&bare) || is_of_broker() {
            let is_carried = rest.is_empty() || CARRIED.contains(&rest);
            return is_carried.then(|| "message.message_body".to_owned());
        }
        let last = bare.rsplit('.').next().unwrap_or(bare);
        match rest.is_empty() {
            true => None,
            false if CONTEXTS.contains(&bare) => match rest {
                "Request" => Some("request.Request()".to_owned()),
                rest => Some(format!("request.{rest}")),
            },
            false if last == "HttpSession" => {
                (rest == "getId()").then(|| "request.getSession().getId()".to_owned())
            }
            false if REQUESTS.contains(&last) => Some(format!("request.{rest}")),
            false if AROUND.contains(&last) => Some(format!("joinPoint.{rest}")),
            false => None,
        }
    }

    /// What a parameter of a listener is: the message of a broker as it came, or what the method that an aspect stands
    /// around gave back.
    pub(super) fn listened(&self, root: &str, function: Option<usize>) -> Option<String> {
        let function = self.functions.get(function?)?;
        let (_, declared) = function.params.iter().find(|(name, _)| name == root)?;
        let declared = declared.as_deref()?;
        let annotated = |names: &[&str]| {
            function.decorators.iter().any(|decorator| {
                let name = match decorator {
                    Expr::Path(name, _) => name.as_str(),
                    Expr::Call(at, _) => {
                        self.calls.get(*at).map_or("", |call| call.callee.as_str())
                    }
                    _ => "",
                };
                names.contains(&name)
            })
        };
        let bare = declared.strip_prefix("@Payload ").unwrap_or(declared);
        let is_raw = matches!(bare, "String" | "byte[]" | "Object" | "JsonNode" | "JsonObject")
            || bare.starts_with("Map<")
            || bare.starts_with("List<String");
        if is_raw && annotated(LISTENERS) {
            return Some("message.message_body".to_owned());
        }
        (bare == "Object" && annotated(&["AfterReturning"])).then(|| "response.body".to_owned())
    }

    /// What a function without a name is given, one after the other: `headers.forEach((name, value) -> …)`. The last
    /// parameter is the value.
    pub(super) fn each_of(
        &self,
        param: &str,
        function: Option<usize>,
    ) -> Option<(String, Option<usize>, Span)> {
        let index = function?;
        let own = self.functions.get(index)?;
        let is_value =
            own.params.len() <= 2 && own.params.last().is_some_and(|(name, _)| name == param);
        if !is_value {
            return None;
        }
        let takes = |call: &&Call| {
            call.args.iter().any(|arg| matches!(&arg.value, Expr::Function(at, _) if *at == index))
        };
        let call = self.calls_of("forEach").find(takes)?;
        let mut object = call.object();
        let mut receiver = call.receiver.and_then(|at| self.calls.get(at));
        for _ in 0..4 {
            let Some(inner) = receiver else { break };
            object = inner.object();
            receiver = inner.receiver.and_then(|at| self.calls.get(at));
        }
        let is_known = !object.is_empty() && object != "?";
        is_known.then(|| (object.to_owned(), call.at.function, call.span))
    }

    /// Whether a variable holds an address that was put together in this file without a user, a password or a token.
    pub(super) fn is_plain_address(&self, name: &str, span: Span, function: Option<usize>) -> bool {
        let Some(assign) =
            self.last_value(name, span, function).and_then(|at| self.assigns.get(at))
        else {
            return false;
        };
        let text = match &assign.value {
            Expr::Str(text, _) | Expr::Interpolated(text, ..) => text.clone(),
            value @ Expr::Join(..) => crate::lang::data::joined(value, 0).0,
            Expr::Call(at, _) => match self.calls.get(*at) {
                Some(call) if matches!(call.name(), "format" | "Sprintf" | "formatted") => {
                    call.positional(0).and_then(Expr::text).unwrap_or_default().to_owned()
                }
                _ => return false,
            },
            _ => return false,
        };
        const OPENS: [&str; 8] = ["@", "pass", "pwd", "token", "key", "secret", "sig", "auth"];
        let lower = text.to_ascii_lowercase();
        lower.contains("://") && !OPENS.iter().any(|word| lower.contains(word))
    }
}
