//! Where names are assigned, called on and declared in a file: looked up, so that following a value does not read the whole
//! file again for each of its names.

use std::collections::HashMap;

use crate::Span;
use crate::lang::ir::{Assign, Call, Function, Module};

/// Positions in the lists of a module by name. Made once, when all of the file is lowered.
#[derive(Clone, Debug, Default)]
pub(in crate::lang) struct Index {
    assigns: HashMap<Box<str>, Vec<u32>>,
    /// Assignments to a part of a variable (`headers.Authorization = …`), by the variable.
    parts: HashMap<Box<str>, Vec<u32>>,
    functions: HashMap<Box<str>, Vec<u32>>,
    /// Calls by the last part of their callee.
    calls: HashMap<Box<str>, Vec<u32>>,
    /// Calls on a plain variable (`headers.set(…)`), by the variable.
    on: HashMap<Box<str>, Vec<u32>>,
    /// Calls that are given a plain variable, by the variable.
    given: HashMap<Box<str>, Vec<u32>>,
    returns: HashMap<usize, Vec<u32>>,
}

impl Index {
    fn of(module: &Module) -> Self {
        fn push(map: &mut HashMap<Box<str>, Vec<u32>>, name: &str, at: usize) {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            match map.get_mut(name) {
                Some(found) => found.push(at),
                None => {
                    map.insert(name.into(), vec![at]);
                }
            }
        }
        let mut index = Self::default();
        for (at, assign) in module.assigns.iter().enumerate() {
            push(&mut index.assigns, &assign.target, at);
            if let Some((root, _)) = assign.target.split_once('.') {
                push(&mut index.parts, root, at);
            }
        }
        for (at, function) in module.functions.iter().enumerate() {
            push(&mut index.functions, &function.name, at);
        }
        for (at, call) in module.calls.iter().enumerate() {
            push(&mut index.calls, call.name(), at);
            // `text.append(a).append(b)` is twice on the text.
            let mut object = call.object();
            while let Some(before) = object.strip_suffix(".append()") {
                object = before;
            }
            if !object.is_empty() && !object.contains(['.', '(']) {
                push(&mut index.on, object, at);
            }
            for path in call.args.iter().filter_map(|arg| arg.value.path()) {
                if !path.contains('.') {
                    push(&mut index.given, path, at);
                }
            }
        }
        // In the order of the text, so that the nearest before a place is found without reading them all.
        let start = |at: &u32| module.assigns.get(*at as usize).map(|a| a.span.start);
        for found in index.assigns.values_mut().chain(index.parts.values_mut()) {
            found.sort_by_key(start);
        }
        let start = |at: &u32| module.calls.get(*at as usize).map(|call| call.span.start);
        for found in index.on.values_mut().chain(index.given.values_mut()) {
            found.sort_by_key(start);
        }
        for (at, (_, context)) in module.returns.iter().enumerate() {
            if let Some(function) = context.function {
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                index.returns.entry(function).or_default().push(at);
            }
        }
        index
    }
}

/// How many of a name's places are looked at: those next to where it is used.
const NEAR: usize = 200;

/// The positions of a name, none where there are none.
fn at<'i>(map: &'i HashMap<Box<str>, Vec<u32>>, name: &str) -> &'i [u32] {
    map.get(name).map_or(&[][..], Vec::as_slice)
}

/// The last of these that begin before a place, nearest first.
fn before<'m, T>(
    found: &'m [u32],
    all: &'m [T],
    span: impl Fn(&T) -> Span,
    place: Span,
) -> impl Iterator<Item = (usize, &'m T)> {
    let begins_before =
        |at: &u32| all.get(*at as usize).is_some_and(|t| span(t).start < place.start);
    let end = found.partition_point(begins_before);
    let near = found[..end].iter().rev().take(NEAR).map(|at| *at as usize);
    near.filter_map(|at| Some((at, all.get(at)?))).filter(move |(_, t)| span(t).end <= place.start)
}

impl Module {
    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(self))
    }

    /// The assignments to a name that end before a place, nearest first, with where they stand in the list.
    pub(super) fn assigns_before(
        &self,
        target: &str,
        place: Span,
    ) -> impl Iterator<Item = (usize, &Assign)> {
        before(at(&self.index().assigns, target), &self.assigns, |a| a.span, place)
    }

    /// The assignments to a name in the order of the text, as many as are worth a look.
    pub(super) fn assigns_to(&self, target: &str) -> impl Iterator<Item = (usize, &Assign)> {
        let found = at(&self.index().assigns, target).iter().take(NEAR).map(|at| *at as usize);
        found.filter_map(|at| Some((at, self.assigns.get(at)?)))
    }

    /// The assignments to parts of a variable that end before a place, nearest first.
    pub(super) fn assigns_within(&self, root: &str, place: Span) -> impl Iterator<Item = &Assign> {
        before(at(&self.index().parts, root), &self.assigns, |a| a.span, place).map(|(_, a)| a)
    }

    /// The functions of a name, with where they stand in the list.
    pub(super) fn functions_of(&self, name: &str) -> impl Iterator<Item = (usize, &Function)> {
        let found = at(&self.index().functions, name).iter().map(|at| *at as usize);
        found.filter_map(|at| Some((at, self.functions.get(at)?)))
    }

    /// The calls of a name, whatever they are made on.
    pub(super) fn calls_of(&self, name: &str) -> impl Iterator<Item = &Call> {
        at(&self.index().calls, name).iter().filter_map(|at| self.calls.get(*at as usize))
    }

    /// The calls on a plain variable that end before a place, nearest first.
    pub(super) fn calls_on(&self, root: &str, place: Span) -> impl Iterator<Item = &Call> {
        before(at(&self.index().on, root), &self.calls, |c| c.span, place).map(|(_, call)| call)
    }

    /// The calls with a plain variable for an argument that end before a place, nearest first.
    pub(super) fn calls_with(&self, name: &str, place: Span) -> impl Iterator<Item = &Call> {
        before(at(&self.index().given, name), &self.calls, |c| c.span, place).map(|(_, call)| call)
    }

    /// What a function returns, where it says so itself.
    pub(super) fn returns_of(
        &self,
        function: usize,
    ) -> impl Iterator<Item = &crate::lang::ir::Expr> {
        let found = self.index().returns.get(&function).map_or(&[][..], Vec::as_slice);
        found.iter().filter_map(|at| self.returns.get(*at as usize)).map(|(value, _)| value)
    }
}
