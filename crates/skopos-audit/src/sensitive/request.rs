//! What of a request or of an answer a name is: the body, the headers, a message of a broker or of a socket.

use super::name::class_by_rule;
use super::{Class, words};
use crate::lang::is_client_call;

/// What a call gives back, when its name says so: `request.get_json()`, `generate_token()`.
pub(super) fn of_call(parts: &[&str], own: &[String]) -> Option<Class> {
    let last = parts.last()?;
    let before = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let request = is_request(before);
    if request
        && matches!(*last, "json" | "get_json" | "body" | "form" | "text" | "get_data" | "formData")
    {
        return Some(Class::Body);
    }
    // Rust's accessors, and Go's whole dumps.
    if request && matches!(*last, "headers" | "metadata" | "cookies" | "Cookies")
        || parts.len() > 1
            && matches!(*last, "DumpRequest" | "DumpRequestOut" | "DumpResponse")
            && before == "httputil"
    {
        return Some(Class::Header);
    }
    if is_response(before)
        && matches!(
            *last,
            "json"
                | "text"
                | "read"
                | "body"
                | "get_data"
                | "bytes"
                | "getBody"
                | "string"
                | "String"
        )
    {
        return Some(Class::Body);
    }
    // What a client of HTTP gave back, without a name: `reqwest::get(url).await?.text()`.
    if matches!(*last, "json" | "text" | "read" | "body" | "bytes" | "string")
        && is_answer(&parts.join("."))
    {
        return Some(Class::Body);
    }
    // Servlets, gin and what wraps them.
    if request && matches!(*last, "getReader" | "getInputStream" | "getContentAsByteArray")
        || matches!(*last, "GetRawData" | "BodyRaw" | "PostBody")
    {
        return Some(Class::Body);
    }
    // What came in through a socket that is held open.
    if is_received(last) && words(before).last().is_some_and(|word| is_socket(word)) {
        return Some(Class::Body);
    }
    // What a call of gRPC carries beside its message.
    if matches!(*last, "FromIncomingContext" | "FromOutgoingContext" | "invocation_metadata") {
        return Some(Class::Header);
    }
    // What signs a token gives it.
    const SIGNERS: [&str; 6] =
        ["jwt", "JWT", "jsonwebtoken", "jwtService", "jwtUtil", "jwtTokenProvider"];
    if SIGNERS.contains(&before) && matches!(*last, "sign" | "signAsync" | "encode")
        || *last == "SignedString"
    {
        return Some(Class::Credential);
    }
    if *last == "getRequestHeaders" {
        return Some(Class::Header);
    }
    // Who holds the id of a session is its user.
    if *last == "getId" && before == "getSession()" || *last == "getRequestedSessionId" {
        return Some(Class::Credential);
    }
    // Forms, and what a method that an aspect stands around is given and gives back.
    const AROUND: [&str; 6] =
        ["joinPoint", "proceedingJoinPoint", "pjp", "jp", "point", "invocation"];
    if request && matches!(*last, "getParameterMap" | "Body")
        || matches!(*last, "getArgs" | "getArguments" | "proceed") && AROUND.contains(&before)
    {
        return Some(Class::Body);
    }
    if before == "request" && matches!(*last, "GetReqHeaders" | "Request") {
        return Some(Class::Header);
    }
    let gives = ["generate", "create", "issue", "make", "fetch", "mint", "sign", "encode"];
    let verb = own.first().map(String::as_str).unwrap_or_default();
    if own.len() > 1 && gives.contains(&verb) {
        let rest = own[1..].join("_");
        return class_by_rule(&rest).filter(|class| *class == Class::Credential);
    }
    None
}

fn is_request(name: &str) -> bool {
    matches!(
        name.trim_end_matches("()"),
        "request"
            | "req"
            | "r"
            | "ctx"
            | "_request"
            | "httpRequest"
            | "http_request"
            | "event"
            // Go's contexts hold the request as a field.
            | "Request"
    )
}

/// A request by the end of its name: `httpReq`, `proxy_request`.
fn is_some_request(name: &str) -> bool {
    is_request(name)
        || words(name.trim_end_matches("()"))
            .last()
            .is_some_and(|word| matches!(word.as_str(), "req" | "request"))
}

fn is_response(name: &str) -> bool {
    matches!(name.trim_end_matches("()"), "response" | "resp" | "res" | "reply" | "http_response")
}

pub(super) fn of_request(last: &str, before: &str, path: &str) -> Option<Class> {
    let of_request = is_request(before);
    if last == "headers"
        || last == "rawheaders"
        || last == "raw_headers"
        || (last == "header" && (before == "r" || is_some_request(before)))
    {
        let is_outgoing =
            path.contains("response") || path.contains("res.") || path.contains("resp");
        // What a client of axios was told is in its errors.
        let is_config = before == "config" && path.matches('.').count() > 1;
        return ((is_some_request(before) || is_config) && !is_outgoing).then_some(Class::Header);
    }
    // A message of gRPC is a body, whatever carries it.
    if path == "call.request" {
        return Some(Class::Body);
    }
    if matches!(last, "body" | "raw_body" | "rawbody") && (of_request || is_response(before)) {
        return Some(Class::Body);
    }
    if of_request
        && matches!(last, "json" | "data" | "form" | "post" | "payload")
        && !matches!(before, "r" | "event")
    {
        return Some(Class::Body);
    }
    // Go's parsed forms, and what Django calls the headers.
    if of_request && ["Form", "PostForm", "MultipartForm"].iter().any(|form| ends_with(path, form))
    {
        return Some(Class::Body);
    }
    if of_request && ends_with(path, "META") {
        return Some(Class::Header);
    }
    // `requests.post(…).text`, `r = httpx.get(…)` and then `r.text`.
    if matches!(last, "text" | "content" | "data" | "body") && is_answer(path) {
        return Some(Class::Body);
    }
    if is_response(before) && matches!(last, "text" | "content" | "data") {
        return Some(Class::Body);
    }
    // A message of a queue, and what a serializer or a form has taken out of a request.
    if last == "body" && matches!(before, "message" | "msg" | "record" | "delivery")
        || matches!(last, "validated_data" | "cleaned_data")
        || last == "data" && before == "serializer"
    {
        return Some(Class::Body);
    }
    // What a client of a broker gave: `for d := range channel.Consume(…) { d.Body }`.
    const CONSUMES: [&str; 5] = [
        "Consume()",
        "ConsumeWithContext()",
        "ReadMessage()",
        "FetchMessage()",
        "ReceiveMessage()",
    ];
    if CONSUMES.contains(&before) && matches!(last, "body" | "value" | "data" | "payload") {
        return Some(Class::Body);
    }
    matches!(
        last,
        "request_body"
            | "response_body"
            | "response_body_as"
            | "req_body"
            | "body_bytes"
            | "raw_request"
            | "message_body"
            | "msg_body"
            | "http_body"
            | "request_payload"
            | "response_payload"
            | "raw_payload"
    )
    .then_some(Class::Body)
}

/// Whether the last part of a path is exactly this.
fn ends_with(path: &str, last: &str) -> bool {
    path.rsplit('.').next() == Some(last)
}

/// Whether a path begins with what a client of HTTP gave back.
fn is_answer(path: &str) -> bool {
    path.rsplit_once("().").is_some_and(|(call, _)| is_client_call(call))
}

fn is_socket(word: &str) -> bool {
    matches!(word, "websocket" | "ws" | "socket" | "sock")
}

/// Calls of Python's web frameworks that take a message from a WebSocket, or all of them in turn.
fn is_received(name: &str) -> bool {
    matches!(
        name,
        "receive_text"
            | "receive_json"
            | "receive_bytes"
            | "receive_str"
            | "iter_text"
            | "iter_json"
            | "iter_bytes"
    )
}
