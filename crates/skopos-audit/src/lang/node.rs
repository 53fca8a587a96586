//! Nodes of a tree, with the names of their kinds and fields at hand.
//!
//! The grammar's own functions look names up anew at every call: a field's by comparing it with every field of the grammar,
//! a kind's by measuring it and by checking that it is UTF-8. Lowering asks for little else, so a [`Grammar`] asks once, and a
//! [`Node`] carries a reference to it. What a node says is what `tree_sitter::Node` says: a test compares the two.

use std::ops::Range;

use smallvec::SmallVec;

/// Nodes in order. Most have few children: they are kept where the list is.
pub(crate) type Nodes<'t> = SmallVec<[Node<'t>; 6]>;

/// A grammar and the names in it.
#[derive(Debug)]
pub(crate) struct Grammar {
    pub(super) language: tree_sitter::Language,
    /// By number.
    kinds: Vec<Kind>,
    /// Open addressing by [`slot`]; a grammar has some forty fields.
    fields: [Option<(&'static str, u16)>; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    is_comment: bool,
}

/// What the parser could not place has a number beyond those of the grammar.
static ERROR: Kind = Kind { name: "ERROR", is_comment: false };

/// Places of the table of fields: a power of two, several times what the largest grammar needs.
const SLOTS: usize = 256;

/// Where the search for a name begins.
fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let of = |byte: Option<u8>| usize::from(byte.unwrap_or_default());
    (bytes.len() + 7 * of(first) + 31 * of(last)) % SLOTS
}

impl Grammar {
    /// Asks a grammar for its names. They are kept until the program ends: make one for each grammar, not for each file.
    pub(crate) fn of(language: tree_sitter::Language) -> Self {
        let keep =
            |name: Option<&str>| -> &'static str { String::from(name.unwrap_or_default()).leak() };
        let count = u16::try_from(language.node_kind_count()).unwrap_or(u16::MAX);
        let kinds = (0..count).map(|id| {
            let name = keep(language.node_kind_for_id(id));
            Kind { name, is_comment: name.contains("comment") }
        });
        let kinds = kinds.collect();
        let mut fields = [None; SLOTS];
        // Numbers of fields begin with one.
        let ids = 1..=u16::try_from(language.field_count()).unwrap_or(u16::MAX);
        for id in ids.take(SLOTS - 1) {
            let name = keep(language.field_name_for_id(id));
            let mut at = slot(name);
            while fields[at].is_some() {
                at = (at + 1) % SLOTS;
            }
            fields[at] = Some((name, id));
        }
        Self { language, kinds, fields }
    }

    /// The number of a field; none when the grammar has no such field.
    fn field(&self, name: &str) -> Option<u16> {
        let mut at = slot(name);
        while let Some((known, id)) = self.fields[at] {
            if known == name {
                return Some(id);
            }
            at = (at + 1) % SLOTS;
        }
        None
    }

    fn kind(&'static self, raw: tree_sitter::Node<'_>) -> &'static Kind {
        self.kinds.get(usize::from(raw.kind_id())).unwrap_or(&ERROR)
    }
}

/// A node of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'t> {
    raw: tree_sitter::Node<'t>,
    grammar: &'static Grammar,
    /// Asked for at least once, most often several times.
    kind: &'static Kind,
}

impl<'t> Node<'t> {
    pub(super) fn new(raw: tree_sitter::Node<'t>, grammar: &'static Grammar) -> Self {
        Self { raw, grammar, kind: grammar.kind(raw) }
    }

    /// As the grammar's own functions see it.
    pub(super) fn raw(self) -> tree_sitter::Node<'t> {
        self.raw
    }

    fn with(self, raw: tree_sitter::Node<'t>) -> Self {
        Self::new(raw, self.grammar)
    }

    /// What it is: `call_expression`, `(`.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.name
    }

    pub(crate) fn is_comment(&self) -> bool {
        self.kind.is_comment
    }

    pub(crate) fn is_named(&self) -> bool {
        self.raw.is_named()
    }

    pub(crate) fn start_byte(&self) -> usize {
        self.raw.start_byte()
    }

    pub(crate) fn end_byte(&self) -> usize {
        self.raw.end_byte()
    }

    pub(crate) fn byte_range(&self) -> Range<usize> {
        self.raw.byte_range()
    }

    pub(crate) fn parent(&self) -> Option<Self> {
        self.raw.parent().map(|raw| self.with(raw))
    }

    pub(crate) fn child_by_field_name(&self, name: &str) -> Option<Self> {
        let id = self.grammar.field(name)?;
        self.raw.child_by_field_id(id).map(|raw| self.with(raw))
    }

    pub(crate) fn named_child(&self, at: u32) -> Option<Self> {
        self.raw.named_child(at).map(|raw| self.with(raw))
    }

    pub(crate) fn named_child_count(&self) -> usize {
        self.raw.named_child_count()
    }

    /// Every child that stands in this field.
    pub(crate) fn children_by_field_name(&self, name: &str) -> Nodes<'t> {
        let mut cursor = self.raw.walk();
        let all = self.raw.children_by_field_name(name, &mut cursor);
        all.map(|raw| self.with(raw)).collect()
    }

    /// Every child, brackets and commas too.
    pub(crate) fn children(&self) -> Nodes<'t> {
        let mut cursor = self.raw.walk();
        self.raw.children(&mut cursor).map(|raw| self.with(raw)).collect()
    }

    /// Children that have a name in the grammar.
    pub(crate) fn named_children(&self) -> Nodes<'t> {
        self.listed(|_| true)
    }

    /// Children that have a name in the grammar, comments left out.
    pub(crate) fn said_children(&self) -> Nodes<'t> {
        self.listed(|child| !child.is_comment())
    }

    fn listed(&self, keep: impl Fn(&Self) -> bool) -> Nodes<'t> {
        let count = self.raw.named_child_count();
        let mut all = Nodes::with_capacity(count);
        if count <= 1 {
            all.extend(self.named_child(0).filter(keep));
            return all;
        }
        let mut cursor = self.raw.walk();
        let (mut seen, mut is_there) = (0, cursor.goto_first_child());
        while is_there && seen < count {
            let raw = cursor.node();
            if raw.is_named() {
                seen += 1;
                let child = self.with(raw);
                if keep(&child) {
                    all.push(child);
                }
            }
            // Behind the last of them stand brackets at most.
            is_there = seen < count && cursor.goto_next_sibling();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang;

    /// Node by node, with everything that lowering asks for.
    fn compare(node: Node<'_>, fields: &[&'static str]) -> usize {
        let raw = node.raw();
        assert_eq!(node.kind(), raw.kind());
        assert_eq!(node.is_comment(), raw.kind().contains("comment"));
        for name in fields.iter().copied().chain(["no_such_field", ""]) {
            let (own, theirs) = (node.child_by_field_name(name), raw.child_by_field_name(name));
            assert_eq!(own.map(Node::raw), theirs, "{name} of {}", node.kind());
        }
        let raws = |nodes: Nodes<'_>| -> Vec<usize> { nodes.iter().map(|n| n.raw.id()).collect() };
        let mut cursor = raw.walk();
        let named: Vec<tree_sitter::Node<'_>> = raw.named_children(&mut cursor).collect();
        let said = named.iter().filter(|child| !child.kind().contains("comment"));
        assert_eq!(raws(node.said_children()), said.map(|n| n.id()).collect::<Vec<_>>());
        assert_eq!(
            raws(node.named_children()),
            named.iter().map(|n| n.id()).collect::<Vec<_>>(),
            "{}",
            node.kind()
        );
        1 + node.children().into_iter().map(|child| compare(child, fields)).sum::<usize>()
    }

    #[test]
    fn nodes_say_what_the_grammar_says() {
        let texts = [
            (
                &lang::PYTHON,
                "@a.b\ndef f(x, *y, z=1):\n    # said\n    print('a', x)  # why\n    if x: return {1: [2]}\n",
            ),
            (&lang::PYTHON, "def f(:\n  print('torn'\nclass"),
            (
                &lang::JAVASCRIPT,
                "const {a} = require('x'); // c\nfor (const b of a) { console.log(`x ${b}`, (v) => v ?? 1) }",
            ),
            (&lang::JAVASCRIPT, "function ( { ]] console.log("),
            (
                &lang::TYPESCRIPT,
                "class A<T> { private x: number = 1; @d() get y(): T { return this.x as T } }",
            ),
            (&lang::TSX, "export const A = () => <p className='x'>{/* c */ b}</p>;"),
            (
                &lang::RUST,
                "/// doc\nfn main() { /* c */ println!(\"{}\", a.b?); let x: Vec<u8> = vec![1]; }",
            ),
            (
                &lang::GO,
                "package main\n// c\nfunc (s *S) f(a, b int) error { defer g(); log.Println(a, \"b\") }",
            ),
            (
                &lang::JAVA,
                "@X class A { /* c */ void f(int a) { try { log.info(\"a\" + a); } catch (E e) {} } }",
            ),
        ];
        for (grammar, text) in texts {
            let names = grammar.fields.iter().flatten().map(|(name, _)| *name);
            let names: Vec<&'static str> = names.collect();
            assert_eq!(names.len(), grammar.language.field_count());
            let count = lang::read(text, grammar, |root| compare(root, &names)).unwrap();
            assert!(count > 10, "{text}");
        }
    }
}
